"""What a first run says before it compiles: a minute without a word looks like a fault."""

import sys
from enum import StrEnum

from engine.home import cache_folder


class Kernel(StrEnum):
    """The two compiled ways through the core, each kept on disk once it is compiled."""

    ALL_BARS = "walk.walk"
    BAR_BY_BAR = "simulate.step"


def tell_if_first(kernel: Kernel) -> None:
    """Say on stderr that this version of the core is compiled now, where it was not before."""
    from engine.compiled import CORE_VERSION

    if not any((cache_folder() / "kernels" / CORE_VERSION).glob(f"*/{kernel.value}-*.nbc")):
        sys.stderr.write("    compiling, once for this version of the core: about a minute\n")
        sys.stderr.flush()
