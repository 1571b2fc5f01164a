"""Processes of torch on this machine, which meet in a group, do their work and leave what they found in a folder."""

import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist


def run_members(work, size, seconds):
    """Run ``work(member, folder)`` in so many processes. The folder is the first argument of the program.

    A collective operation that some member does not join ends after so many seconds. Where one process fails, the others end.
    """
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    # By a fork nothing is imported again.
    torch.multiprocessing.start_processes(
        _member, args=(work, size, sys.argv[1], seconds), nprocs=size, start_method="fork"
    )


def _member(member, work, size, folder, seconds):
    dist.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=seconds), rank=member, world_size=size
    )
    work(member, folder)
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # the work is done: torch may abort while an interpreter ends
