# SPDX-License-Identifier: Apache-2.0
"""The failure reasons of the contract: the table of docs/user/failures.md, the categories in the
CRD.

`make generate` writes them, before the copies of the CRD; a test compares. The tests that
provoke each reason are listed here, since the images do not need them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from repository.crd_config import CRD
from repository.marked_blocks import with_blocks
from repository.tracked import ROOT

PAGE = ROOT / "docs" / "user" / "failures.md"

PROOFS: Mapping[str, Mapping[str, tuple[Reason, ...]]] = {
    "cli/files/test_overrides.py": {
        "test_a_mistake_names_the_option_instead_of_a_line": (Reason.INVALID_JOB,),
    },
    "trainer/plan/test_plan.py": {
        "test_a_wrong_config_is_the_users_with_every_problem_named": (Reason.INVALID_CONFIG,),
    },
    "trainer/failures/test_failures_before_training.py": {
        "test_a_place_that_cannot_be_written_is_told": (Reason.INVALID_URI,),
        "test_a_first_node_that_has_no_name_yet_is_told_in_the_end": (Reason.MASTER_NOT_FOUND,),
        "test_nodes_that_would_go_on_from_different_steps_do_not_begin": (Reason.RESUME_MISMATCH,),
    },
    "trainer/attempt/test_notes.py": {
        "test_a_run_that_would_leave_out_too_many_rows_fails_before_training": (
            Reason.TOO_MANY_ROWS_LEFT_OUT,
        ),
    },
    "trainer/inputs/test_fetching.py": {
        "test_a_store_without_credentials_is_told_in_a_sentence": (Reason.CREDENTIALS_MISSING,),
        "test_a_folder_without_a_model_says_what_it_holds": (Reason.MODEL_NOT_FOUND,),
        "test_a_file_that_cannot_be_data_is_told_before_torch_is_imported": (
            Reason.UNKNOWN_FILE_TYPE,
        ),
    },
    "storage/test_trainer_in_store.py": {
        "test_a_wrong_key_is_the_users_and_final": (Reason.ACCESS_DENIED,),
        "test_a_missing_bucket_is_named": (Reason.BUCKET_NOT_FOUND,),
        "test_an_unreachable_store_is_nobodys_mistake": (Reason.STORE_UNREACHABLE,),
    },
    "trainer/storage/test_store_variables.py": {
        "test_a_value_that_cannot_be_sent_is_refused_with_its_variable_and_never_shown": (
            Reason.INVALID_CREDENTIALS,
        ),
    },
    "trainer/storage/test_store_refusals.py": {
        "test_a_refusal_tells_whose_turn_it_is_whatever_was_asked": (
            Reason.CREDENTIALS_EXPIRED,
            Reason.STORE_REFUSED,
            Reason.STORE_FULL,
            Reason.CLOCK_SKEWED,
        ),
        "test_a_wrong_region_is_told_with_the_right_one": (Reason.WRONG_REGION,),
        "test_a_store_that_cannot_now_is_asked_again_and_named_busy_in_the_end": (
            Reason.STORE_BUSY,
        ),
    },
    "trainer/publication/test_ownership.py": {
        "test_a_place_belongs_to_the_job_that_claimed_it": (Reason.OUTPUT_OWNED,),
    },
    "trainer/failures/test_failures_of_torch.py": {
        "test_shared_memory_that_is_full_is_no_full_disk": (Reason.SHARED_MEMORY_FULL,),
        "test_weights_that_are_cut_off_are_the_users": (Reason.MODEL_DAMAGED,),
        "test_what_torch_says_of_device_and_peers": (
            Reason.OUT_OF_MEMORY,
            Reason.DATA_WORKER_KILLED,
            Reason.GPU_FAILED,
            Reason.GPU_UNAVAILABLE,
            Reason.NCCL_ERROR,
            Reason.COLLECTIVE_TIMEOUT,
            Reason.RENDEZVOUS_FAILED,
            Reason.CUDA_ERROR,
        ),
        "test_a_disk_that_fills_up_is_the_nodes_fault": (Reason.DISK_FULL,),
        "test_a_node_without_memory_for_a_tensor_is_the_nodes_fault": (Reason.HOST_OUT_OF_MEMORY,),
    },
    "trainer/ranks/test_hostile_checkpoints.py": {
        "test_a_run_does_not_go_on_from_a_checkpoint_that_would_run_code": (
            Reason.CHECKPOINT_UNSAFE,
        ),
    },
    "trainer/failures/test_hub_failures.py": {
        "test_whose_fault_a_hubs_answer_is": (Reason.REVISION_NOT_FOUND, Reason.HUB_ACCESS_DENIED),
        "test_what_a_hub_objects_to_is_the_users": (Reason.HUB_REFUSED,),
        "test_a_hub_that_is_not_there_is_the_infrastructures": (Reason.HUB_UNREACHABLE,),
    },
    "trainer/publication/hub/test_hub_push.py": {
        "test_a_missing_token_is_told_before_training": (Reason.HUB_TOKEN_MISSING,),
        "test_a_wrong_token_is_told_before_training": (Reason.HUB_TOKEN_INVALID,),
        "test_a_damaged_artifact_is_not_pushed": (Reason.ARTIFACT_DAMAGED,),
    },
    "trainer/plan/test_trackers.py": {
        "test_a_missing_tracker_is_told_before_anything_is_downloaded": (
            Reason.TRACKER_NOT_INSTALLED,
        ),
    },
    "trainer/plan/test_packages.py": {
        "test_an_optimizer_that_is_not_in_the_image_is_told_before_anything_is_fetched": (
            Reason.PACKAGE_NOT_INSTALLED,
        ),
    },
    "trainer/ranks/data/test_remedies_fix.py": {
        "test_a_configuration_that_is_not_there_is_told_with_those_that_are": (
            Reason.DATASET_CONFIG_NOT_FOUND,
        ),
    },
    "trainer/plan/node/test_attention.py": {
        "test_flash_attention_that_is_not_in_the_image_is_told_before_anything_is_fetched": (
            Reason.ATTENTION_NOT_INSTALLED,
        ),
    },
    "trainer/failures/test_triton_compiler.py": {
        "test_an_image_without_a_compiler_is_told_before_anything_is_fetched": (
            Reason.COMPILER_MISSING,
        ),
    },
    "trainer/plan/node/test_deepspeed_kernels.py": {
        "test_a_config_that_needs_a_compiler_is_told_before_anything_is_fetched": (
            Reason.DEEPSPEED_NEEDS_COMPILER,
        ),
    },
    "trainer/plan/test_topology.py": {
        "test_deepspeed_that_is_not_in_the_image_is_told_before_anything_is_fetched": (
            Reason.DEEPSPEED_NOT_INSTALLED,
        ),
        "test_a_world_that_cannot_go_on_is_refused_with_the_ways_out": (Reason.WORLD_SIZE_CHANGED,),
    },
    "trainer/attempt/test_supervisor.py": {
        "test_a_missing_data_set_is_the_users_and_says_where_it_looked": (
            Reason.DATASET_NOT_FOUND,
        ),
        "test_a_document_of_another_release_is_an_outcome_too": (Reason.INVALID_RUN_DOCUMENT,),
        "test_an_attempt_trains_the_run_document_that_it_was_made_for_or_none": (
            Reason.RUN_DOCUMENT_MISMATCH,
        ),
    },
    "trainer/inputs/test_web_files.py": {
        "test_a_refusal_names_the_address_without_its_secrets": (Reason.DATASET_ACCESS_DENIED,),
        "test_a_server_that_is_not_there_may_come_back": (Reason.DATA_SERVER_UNREACHABLE,),
    },
    "trainer/ranks/data/test_data_sources.py": {
        "test_what_cannot_be_read_is_told_with_file_and_line": (
            Reason.INVALID_DATASET,
            Reason.EMPTY_DATASET,
        ),
        "test_what_cannot_be_evaluated_on_is_told": (Reason.SPLIT_EXISTS, Reason.SPLIT_TOO_LARGE),
    },
    "trainer/ranks/data/test_data_shapes.py": {
        "test_what_fits_no_shape_is_told_with_the_key_that_would_fit": (
            Reason.DATASET_COLUMN_MISSING,
            Reason.UNKNOWN_ROLE,
        ),
    },
    "trainer/ranks/chat/test_fitting.py": {
        "test_a_template_that_refuses_all_rows_ends_the_run_with_what_it_refuses": (
            Reason.CONVERSATIONS_REFUSED,
        ),
    },
    "trainer/ranks/data/test_system_message.py": {
        "test_data_without_conversations_is_the_users_mistake": (Reason.NOT_CONVERSATIONAL,),
    },
    "trainer/ranks/test_ranks.py": {
        "test_data_that_cannot_be_used_is_the_users": (Reason.SPLIT_NOT_FOUND,),
        "test_another_world_than_the_promised_one_fails_before_the_model_loads": (
            Reason.WORLD_SIZE_MISMATCH,
        ),
    },
    "trainer/ranks/data/test_mixtures.py": {
        "test_a_part_that_does_not_fit_is_named": (Reason.MIXTURE_OF_SHAPES,),
    },
    "trainer/ranks/test_vision.py": {
        "test_an_image_that_is_not_there_is_named": (Reason.IMAGE_NOT_FOUND,),
    },
    "trainer/inputs/test_chat_templates.py": {
        "test_a_file_that_is_not_there_is_told_with_the_nearest": (Reason.CHAT_TEMPLATE_NOT_FOUND,),
        "test_conversations_for_a_model_without_a_template_are_told_before_training": (
            Reason.CHAT_TEMPLATE_MISSING,
        ),
        "test_a_template_that_cannot_be_trained_with_is_told_in_a_sentence": (
            Reason.INVALID_CHAT_TEMPLATE,
        ),
        "test_a_template_whose_tokens_the_model_lacks_is_told_with_the_tokens_to_add": (
            Reason.CHAT_TEMPLATE_TOKENS_MISSING,
        ),
        "test_an_artifact_that_could_not_end_its_answers_is_refused": (Reason.EOS_MISSING,),
    },
    "trainer/ranks/data/test_loss_masks.py": {
        "test_a_template_that_does_not_mark_answers_is_told_before_training": (
            Reason.ASSISTANT_TOKENS_UNKNOWN,
        ),
        "test_a_run_that_would_learn_nothing_fails_before_its_first_step_with_the_cause": (
            Reason.NOTHING_TRAINED,
        ),
    },
    "trainer/ranks/test_metric_fn.py": {
        "test_a_module_of_the_image_may_judge_but_none_of_the_working_folder": (
            Reason.METRIC_NOT_FOUND,
        ),
        "test_a_broken_function_costs_seconds_not_hours": (Reason.METRIC_FAILED,),
        "test_without_answers_there_is_nothing_to_judge": (Reason.NOTHING_TO_JUDGE,),
    },
    "trainer/ranks/movement/test_weights_unmoved.py": {
        "test_weights_that_training_left_out_are_no_success_but_what_was_trained_is_kept": (
            Reason.WEIGHTS_UNMOVED,
        ),
    },
    "trainer/ranks/test_verification.py": {
        "test_training_that_has_diverged_ends_long_before_its_last_step": (Reason.NOT_FINITE,),
        "test_a_model_worse_than_its_base_is_no_success_but_is_kept": (Reason.WORSE_THAN_BASE,),
        "test_an_artifact_that_does_not_load_whole_is_no_success": (
            Reason.ARTIFACT_BROKEN,
            Reason.NOTHING_SAVED,
        ),
    },
    "trainer/ranks/test_distribution.py": {
        "test_a_strategy_that_was_not_planned_ends_before_the_model_loads": (
            Reason.DISTRIBUTION_MISMATCH,
        ),
    },
    "trainer/attempt/test_training.py": {
        "test_a_stopped_run_goes_on_and_ends_like_an_uninterrupted_one": (Reason.INTERRUPTED,),
    },
    "trainer/plan/node/test_gpu_check.py": {
        "test_a_gpu_that_cannot_train_is_refused_with_the_party_that_can_change_it": (
            Reason.DRIVER_MISSING,
            Reason.DRIVER_TOO_OLD,
            Reason.GPU_MISSING,
            Reason.GPU_TOO_OLD,
        ),
        "test_weights_that_no_change_of_batch_makes_fit_are_refused_before_training": (
            Reason.GPU_TOO_SMALL,
        ),
        "test_amd_gpus_are_refused_by_an_image_built_for_cuda": (Reason.GPU_UNSUPPORTED,),
    },
    "trainer/exchange/test_rank_results.py": {
        "test_the_cause_is_the_first_that_failed_of_itself": (Reason.PEER_LOST,),
    },
    "trainer/supervision/test_lost_ranks.py": {
        "test_a_rank_that_is_killed_is_named_with_its_signal": (Reason.RANK_KILLED,),
        "test_of_two_ranks_the_one_that_crashed_is_named": (Reason.RANK_CRASHED,),
        "test_ranks_that_hang_are_ended_and_the_still_one_is_named": (Reason.RANKS_HUNG,),
    },
    "trainer/ranks/test_merging.py": {
        "test_a_model_that_computes_something_else_is_not_published": (Reason.MERGE_DIFFERS,),
    },
    "trainer/ranks/test_rank_log.py": {
        "test_what_only_code_gets_wrong_keeps_its_traceback_and_is_not_the_users": (
            Reason.INTERNAL,
        ),
    },
    "operator/job/observe/test_verdict.py": {
        "test_pod_without_an_outcome": (
            Reason.EXITED_WITHOUT_OUTCOME,
            Reason.POD_FAILED,
            Reason.POD_STOPPED,
        ),
        "test_what_the_kubelet_says_of_a_trainer_without_an_outcome_is_kept": (
            Reason.CONTAINER_START_FAILED,
        ),
        "test_a_job_that_failed_without_a_reason_of_its_own": (Reason.TRAINING_JOB_FAILED,),
    },
    "operator/job/observe/test_injected_containers.py": {
        "test_an_init_container_that_fails_is_named_with_its_words": (
            Reason.INIT_CONTAINER_FAILED,
        ),
        "test_a_sidecar_that_fails_on_one_node_and_so_ends_the_others_is_named": (
            Reason.SIDECAR_FAILED,
        ),
    },
    "operator/job/test_never_started.py": {
        "test_a_pod_that_its_node_refuses_uses_up_no_attempt_and_the_node_is_named": (
            Reason.POD_REJECTED,
        ),
    },
    "operator/job/test_interruptions.py": {
        "test_evictions_that_gain_no_step_end_the_job_with_what_to_change": (
            Reason.INTERRUPTED_TOO_OFTEN,
        ),
    },
    "operator/job/observe/test_observation.py": {
        "test_deleted_job_is_an_interruption_that_ends_now": (Reason.TRAINING_JOB_DELETED,),
    },
    "operator/job/decide/test_decision.py": {
        "test_an_attempt_whose_failure_nobody_recorded_ends_the_job_unexplained": (
            Reason.UNEXPLAINED,
        ),
        "test_suspending_first_records_why_and_then_deletes_the_job": (Reason.SUSPENDED,),
        "test_a_changed_spec_ends_what_runs_and_starts_anew_when_it_has": (Reason.SPEC_CHANGED,),
        "test_a_job_that_takes_too_long_is_ended_and_fails": (Reason.DEADLINE_EXCEEDED,),
        "test_pods_that_do_not_start_in_time_fail_the_job_with_their_words": (
            Reason.PODS_NOT_STARTED,
        ),
    },
}
"""By file below tests/ and by test: the reasons that it provokes."""

_CATEGORY = re.compile(r"^( *category:\n +description: )[^\n]*", re.MULTILINE)


def with_table(page: str) -> str:
    """The page with a row for each reason."""
    return with_blocks(page, lambda _: _table())


def with_parties(crd: str) -> str:
    """The CRD with the categories as the description of `status.failure.category`."""
    return _CATEGORY.sub(lambda found: f"{found[1]}{_in_words(tuple(Category))}.", crd)


def proofs() -> Iterator[tuple[Reason, str, str]]:
    """Each reason with the file and the name of the test that provokes it."""
    for file, tests in PROOFS.items():
        for test, reasons in tests.items():
            yield from ((reason, file, test) for reason in reasons)


def _table() -> Iterator[str]:
    yield from (
        "| reason | category | what its user reads | remedy |",
        "| --- | --- | --- | --- |",
    )
    for reason in Reason:
        cells = (
            f"`{reason}`",
            _in_words(reason.categories),
            reason.words,
            reason.remedy,
        )
        yield f"| {' | '.join(cells)} |"


def _in_words(parties: Sequence[Category]) -> str:
    *others, last = parties
    return f"{', '.join(others)} or {last}" if others else last


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
    CRD.write_text(with_parties(CRD.read_text()))
