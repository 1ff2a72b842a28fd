"""All benchmarks: ``python -m benchmarks [--only NAME,...] [--runs N] [--smoke] [--write]``."""

from benchmarks.cluster import CLUSTER, PLAN
from benchmarks.command import main
from benchmarks.connections import CONNECTIONS
from benchmarks.distant import DISTANT
from benchmarks.facade import FACADE
from benchmarks.imports import IMPORTS
from benchmarks.large import LARGE, LIMITED, TLS
from benchmarks.listing import LISTING
from benchmarks.many import MANY
from benchmarks.overview import OVERVIEW, SAMPLE
from benchmarks.projects import PATHS, PROJECTS
from benchmarks.proxies import PROXIES
from benchmarks.scale import SCALE
from benchmarks.slow_disk import SLOW_DISK
from benchmarks.small import MEDIUM, SMALL
from benchmarks.uploads import UPLOAD_LARGE, UPLOAD_SMALL, UPLOAD_TLS

if __name__ == "__main__":
    main(
        [
            SMALL,
            MEDIUM,
            LARGE,
            TLS,
            LIMITED,
            LISTING,
            PROJECTS,
            PATHS,
            OVERVIEW,
            SAMPLE,
            PLAN,
            CLUSTER,
            IMPORTS,
            MANY,
            FACADE,
            UPLOAD_SMALL,
            UPLOAD_LARGE,
            UPLOAD_TLS,
            *CONNECTIONS,
            *DISTANT,
            *SLOW_DISK,
            *PROXIES,
            *SCALE,
        ]
    )
