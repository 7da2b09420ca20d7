"""What holds for the whole package, checked by machine; import directions are checked by lint."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "brainad"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 400


def calls(module: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call in a module with the text of what is called."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert [str(path) for path, lines in lengths.items() if lines > LONGEST_MODULE] == []


def test_every_module_has_its_tests() -> None:
    modules = [path.relative_to(PACKAGE) for path in MODULES if path.stem != "__init__"]
    tests = {path: ROOT / "tests" / path.with_name(f"test_{path.name}") for path in modules}
    assert [str(module) for module, test in tests.items() if not test.is_file()] == []


def test_only_commands_print() -> None:
    outside = [path for path in MODULES if path.parent != PACKAGE / "cli"]
    assert [str(path) for path in outside for name, _ in calls(path) if name == "print"] == []


def test_files_are_loaded_safely() -> None:
    safe = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}
    for path in MODULES:
        for name, call in calls(path):
            settings = [(word.arg, ast.unparse(word.value)) for word in call.keywords]
            assert name not in safe or safe[name] in settings, path
            assert not name.startswith(("pickle.", "joblib.", "yaml.")), path


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        marks = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not marks & {"skip", "skipif", "xfail", "importorskip"}, path


def test_importing_the_package_says_nothing_and_loads_nothing_heavy() -> None:
    program = "import sys, brainad; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""
