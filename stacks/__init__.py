"""What exists in the account: settings, storage, the layer, and the pipeline in the order the data travels."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the project
STATE_MACHINES = ROOT / "statemachine"
