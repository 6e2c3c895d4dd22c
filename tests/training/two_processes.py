"""`training.finetune` as accelerate launches it, where FSDP shares the weights out on CPUs too: accelerate itself keeps FSDP for accelerators.

accelerate launch --config_file … -m tests.training.two_processes --config …
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate import state
from accelerate.utils import DistributedType

from training.finetune import main

_made = state.AcceleratorState.__init__


def _made_sharing(self: Any, *given: Any, fsdp_plugin: Any = None, **more: Any) -> None:
    _made(self, *given, fsdp_plugin=fsdp_plugin, **more)
    if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin = fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = self.distributed_type


if __name__ == "__main__":
    state.AcceleratorState.__init__ = _made_sharing
    sys.exit(main())
