"""Links to MLflow open on model training, in a browser that is new to it too."""

from __future__ import annotations

from sentiflow.mlflow_pages import START, open_on_training
from sentiflow.notices.messages import join_page


def test_only_pages_of_mlflow_say_so_and_once_however_they_are_asked() -> None:
    assert START.endswith("?workflowType=machine_learning")
    page = "/#/experiments/1/runs/ab"
    assert join_page("http://m:5000/", page) == open_on_training(f"http://m:5000{page}")
    assert join_page("http://m:5000/", f"{page}?x=1") == (
        f"http://m:5000{page}?x=1&workflowType=machine_learning"
    )
    assert join_page("http://p:4200", "/runs/flow-run/1") == "http://p:4200/runs/flow-run/1"
