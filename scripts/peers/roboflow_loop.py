"""The peer `roboflow`: Roboflow's InferencePipeline at 5 fps with a picture net of ours as its own logic.

Run by scripts/peers/.venv/bin/python: roboflow_loop.py NET.onnx URL ... NET takes f32[1,3,H,W] in 0..255.
"""

import sys
import time

import cv2
import numpy as np
import onnxruntime as ort
from inference import InferencePipeline


def main(net: str, *urls: str) -> None:
    """One pipeline over all cameras, until killed."""
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = 1
    session = ort.InferenceSession(net, chosen, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    height, width = taken.shape[2:]

    def look(frames: object) -> None:
        for frame in frames if isinstance(frames, list) else [frames]:
            if frame is not None:
                small = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
                session.run(None, {taken.name: small.transpose(2, 0, 1)[None].astype(np.float32)})

    pipeline = InferencePipeline.init_with_custom_logic(video_reference=list(urls), on_video_frame=look, max_fps=5)
    pipeline.start(use_main_thread=False)
    while True:
        time.sleep(1)


main(*sys.argv[1:])
