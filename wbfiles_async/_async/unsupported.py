"""Explains attributes of W&B's own client that this package does not have. Performs no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

__all__ = ["API", "MODULE", "PROJECT", "RUN", "HandlesFilesOnly", "raise_missing"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Names of wandb 0.31.0 and of older versions, since scripts outlive versions.
RUN: Final = _names(
    """
    beta_scan_history commit config console_logs create delete description display display_name
    download_history_exports finish group heartbeat_at history job_type json_config lastHistoryStep load
    load_full_data log log_artifact logged_artifacts metadata notes rawconfig read_only save scan_history stop
    storage_id sub_project summary summary_metrics sweep sweep_name system_metrics tags to_html update
    update_state url use_artifact used_artifacts user username wait_until_finished
    """
)
API: Final = _names(
    """
    artifact artifact_collection artifact_collection_exists artifact_collections artifact_exists artifact_type
    artifact_types artifact_versions artifacts automation automations create_automation create_custom_chart
    create_project create_registry create_run create_run_queue create_team create_user delete_automation flush
    from_path integrations job list_jobs organization project queued_run registries registry reports
    run_queue slack_integrations sweep sync_tensorboard team update_automation upsert_run_queue user user_agent
    users viewer webhook_integrations
    """
)
PROJECT: Final = _names("artifacts_types collections owner snake_to_camel sweeps to_html url user")
MODULE: Final = _names(
    """
    Artifact Audio Graph Histogram Html Image Molecule Object3D Plotly Settings Table Video agent alert config
    controller define_metric finish init link_model log log_artifact log_model login plot plot_table restore run
    save setup summary sweep teardown unwatch use_artifact use_model watch
    """
)


def raise_missing(owner: str, name: str, known: frozenset[str], instead: str) -> None:
    """Raise an error that says what to use instead of an attribute of W&B's client; return if that has none either.

    Args:
        owner: Name of the object without the attribute.
        name: The attribute.
        known: Names of the attributes of W&B's client.
        instead: What to use instead, such as ``wandb.Api()``.

    Raises:
        AttributeError: W&B's client has the attribute.
    """
    if name in known:
        raise AttributeError(f"{owner} has no {name!r}: wbfiles_async handles files only; for {name} use {instead}.")


class HandlesFilesOnly:
    """Base class of objects that have fewer attributes than their counterparts in W&B's client."""

    __slots__ = ()
    _unsupported: ClassVar[frozenset[str]] = frozenset()

    if not TYPE_CHECKING:  # type checkers report missing attributes themselves

        def __getattr__(self, name: str) -> NoReturn:
            kind = type(self)
            if isinstance(getattr(kind, name, None), property):
                object.__getattribute__(self, name)  # again, to raise the property's own error
            raise_missing(kind.__name__, name, self._unsupported, "wandb.Api()")
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}", name=name, obj=self)
