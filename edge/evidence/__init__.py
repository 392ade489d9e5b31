"""What is kept of events: rows, clips, snapshots, score traces; and how it is found again and thrown away in time.

Everything lies in ``data_dir/evidence`` of this box alone.
"""
