"""The train stage with FSDP2 on CPUs: `python -m fsdp_on_cpu <student>`, launched by our own launcher.

accelerate 1.15 takes up FSDP for GPUs alone; on CPUs it drops it and trains plain copies. PyTorch's `fully_shard` runs
on CPUs over gloo, so here the processes tell accelerate that they are GPUs. All else is the stage as it is.
"""

import os
import runpy
import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from distill.training import launch, processes

begin = PartialState.__init__
whole_model = processes.whole_model


def begin_as_gpu(self: Any, *args: Any, **more: Any) -> None:
    begin(self, *args, **more)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def whole_of_shares(trainer: Any, rebuild: Any) -> Any:
    from torch.distributed.tensor import DTensor

    assert all(isinstance(weight, DTensor) for weight in trainer.model_wrapped.parameters()), "nothing is shared out"
    return whole_model(trainer, rebuild)


if "LOCAL_RANK" in os.environ:
    PartialState.__init__ = begin_as_gpu  # type: ignore[method-assign]
    processes.whole_model = whole_of_shares
    sys.argv[0] = "pipelines.train"
    runpy.run_module("pipelines.train", run_name="__main__")
else:
    launch._require = lambda *_: None
    chosen = launch.plan()
    assert chosen
    launch.start(chosen, ["fsdp_on_cpu", *sys.argv[1:]])
