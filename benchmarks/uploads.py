"""Uploads: many small files, and a large one, compared with ``run.upload_file`` of wandb.

Run it alone: ``python -m benchmarks.uploads``.
"""

from benchmarks.command import main
from benchmarks.comparison import Comparison
from benchmarks.contenders.lineup import md5_of_files, ours_upload, wandb_upload
from benchmarks.data import MIB, StagedRun

_WANDB = wandb_upload("wandb, `upload_file`")
_WANDB_16 = wandb_upload("wandb, `upload_file`, 16 threads", threads=16)

UPLOAD_SMALL = Comparison(
    name="upload_small",
    title="Uploading many small files",
    says="At least 3× of wandb. wandb lists each file afterwards and compares nothing; wbfiles_async compares the md5 "
    "that the server states of each.",
    run=StagedRun(files=1000, size=16 * 1024, uploaded=True),
    smoke=StagedRun(files=20, size=1024, uploaded=True),
    contenders=(
        _WANDB,
        _WANDB_16,
        ours_upload("wbfiles_async, `upload_file`", "upload_file"),
        ours_upload("**wbfiles_async**"),
        ours_upload("wbfiles_async, `verify=False`", "upload_unverified", verify=False),
    ),
)

UPLOAD_LARGE = Comparison(
    name="upload_large",
    title="Uploading one large file",
    says="Without the md5 at least as fast as wandb, which computes none. With it at least 0.9 of md5's own rate: md5 "
    "alone takes longer than wandb's whole upload.",
    run=StagedRun(size=1024 * MIB, uploaded=True),
    smoke=StagedRun(size=9 * MIB, uploaded=True),
    contenders=(
        _WANDB,
        md5_of_files(),
        ours_upload("**wbfiles_async**"),
        ours_upload("wbfiles_async, `verify=False`", "upload_unverified", verify=False),
    ),
)

UPLOAD_TLS = Comparison(
    name="upload_tls",
    title="Uploading one large file over TLS",
    says="The same over TLS, as to a real bucket.",
    run=StagedRun(size=1024 * MIB, door="https", uploaded=True),
    smoke=StagedRun(size=9 * MIB, door="https", uploaded=True),
    contenders=UPLOAD_LARGE.contenders,
)

if __name__ == "__main__":
    main([UPLOAD_SMALL, UPLOAD_LARGE, UPLOAD_TLS])
