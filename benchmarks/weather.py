"""What the machine was busy with besides, for the cases that sysbench has no part in."""

from types import TracebackType

from benchmarks.procfs import OthersMeter, StealMeter


class Weather:
    """Measures it inside a `with` block."""

    def __init__(self) -> None:
        self._steal = StealMeter()
        self._others = OthersMeter()

    def __enter__(self) -> "Weather":
        self._steal.__enter__()
        self._others.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._steal.__exit__()
        self._others.__exit__()

    @property
    def remark(self) -> str:
        """For under the table."""
        stolen, others = 100 * self._steal.share, 100 * self._others.share
        return f"CPU time meanwhile, %: stolen by the hypervisor {stolen:.1f}, taken by other programs {others:.1f}."
