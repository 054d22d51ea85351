"""What waits for a person: the dead letters, and the pictures that failed."""

from dataclasses import dataclass

from darkroom.pipeline import by_key, letters
from darkroom.pipeline.results import Count
from darkroom.pipeline.target import Target

COUNTED = 1000  # failed pictures


@dataclass(frozen=True)
class Attention:
    letters: int  # also those that somebody reads at the moment; SQS's own count, which is approximate
    failed: Count

    def lines(self) -> list[str]:
        """What there is, and the command that shows it; none if nothing waits."""
        found = []
        if self.letters:
            what = "1 dead letter waits" if self.letters == 1 else f"{self.letters} dead letters wait"
            found.append(f"{what}: `darkroom redrive --dry-run` shows, `darkroom redrive` starts again")
        if self.failed.number:
            what = "1 picture is FAILED" if str(self.failed) == "1" else f"{self.failed} pictures are FAILED"
            found.append(f"{what}: `darkroom results --status FAILED`")
        return found


def attention(target: Target) -> Attention:
    return Attention(sum(letters.count(target)), by_key.count(target, "FAILED", COUNTED))
