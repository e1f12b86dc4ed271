"""An executor for tests that want a queue and no process."""


class Idle:
    """Leaves everything in the queue."""

    def submit(self, run_id: str) -> None: ...

    def cancel(self, run_id: str) -> None: ...

    def reconcile(self) -> None: ...

    def capacity(self) -> int:
        return 0
