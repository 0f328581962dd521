"""Reports: run folders to one page that shows whether looking helped, and two runs against each other.

    write_report         run folders to a self-contained page, with pictures and traces one click away
    write_ablation       rows by columns of run folders to one page: what each stage of training is worth
    compare              two runs of one task, paired by topic: `Comparison.summary()` for a terminal, `.to_json()`
    read_run             a run folder's metrics, configuration and outcomes
    overview             a few lines a run for a terminal

Reads only what a run wrote. Nothing here retrieves, ranks or calls a model.
"""

from vretrver.report.ablation import write_ablation
from vretrver.report.comparison import Comparison, Contrast, compare
from vretrver.report.page import write_report
from vretrver.report.run_folder import RunFolder, read_run
from vretrver.report.words import overview

__all__ = ["Comparison", "Contrast", "RunFolder", "compare", "overview", "read_run", "write_ablation", "write_report"]
