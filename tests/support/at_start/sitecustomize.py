"""Python imports a module of this name at its start: first on PYTHONPATH, it patches the processes of torchrun."""

import os

if "RANK" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import fsdp_on_cpu

    fsdp_on_cpu.patch()
    if "BIOMED_R1_TEST_REWARDS" in os.environ:
        import ranks

        from components.training import rewards

        rewards.rewards = ranks.planted_rewards
