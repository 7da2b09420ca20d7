from brainad.reporting.page import SCRIPT, STYLE


def test_nothing_is_loaded_from_elsewhere_and_no_tag_can_end_early() -> None:
    for text in (STYLE, SCRIPT):
        assert "</" not in text
        for reference in ("http", "url(", "@import", "fetch", "src="):
            assert reference not in text
