"""What a run will ask of its servers and its machine, asked in seconds before any work: the doctor's checks.

Each check makes the round trip that a run makes, with the clients that a run uses, and yields findings. The local
doctor and the first task of a cluster run share them.
"""
