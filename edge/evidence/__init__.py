"""Evidence of events: rows, clips, snapshots and score traces, with search and retention.

Everything is kept in ``data_dir/evidence`` of this machine.
"""
