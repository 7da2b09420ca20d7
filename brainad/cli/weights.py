"""brainad_download_weights: fetch what nothing else fetches, the demo excepted."""

from __future__ import annotations

import argparse

from brainad.cli.arguments import Parser
from brainad.cli.flags import workspace_of
from brainad.cli.runner import EXIT_DONE, run
from brainad.cli.tables import format_table
from brainad.encoders.registry import REGISTRY
from brainad.encoders.weights import available, fetch_weights

DEFAULT_WEIGHTS = "dinov2_vits14"
_EMBEDDED = (DEFAULT_WEIGHTS, "all_minilm_l6_v2")


def main() -> None:
    """Run brainad_download_weights."""
    parser = Parser("brainad_download_weights", "Fetch and check pretrained encoder weights.")
    parser.add_argument("names", nargs="*", default=list(_EMBEDDED), metavar="NAME",
                        help=f"a name or owner/name (default {', '.join(_EMBEDDED)})")  # fmt: skip
    parser.flag("--list", action="store_true", help="list what there is")
    parser.workspace_flags("weights")
    run(parser, _download)


def _download(arguments: argparse.Namespace) -> int:
    folder = workspace_of(arguments).weights
    if arguments.list:
        here = available(folder)
        rows = [
            {
                "name": name,
                "here": "yes" if name in here else "no",
                "licence": entry.licence,
                "what": entry.description,
            }
            for name, entry in REGISTRY.items()
        ]
        print(format_table(rows))
        return EXIT_DONE
    for name in arguments.names:
        print(f"{name}: {fetch_weights(name, folder)}")
    return EXIT_DONE
