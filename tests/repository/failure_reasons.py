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
        "test_an_error_in_an_override_names_the_option_instead_of_a_line": (Reason.INVALID_JOB,),
    },
    "trainer/plan/test_plan.py": {
        "test_an_invalid_config_is_a_user_error_with_every_problem": (Reason.INVALID_CONFIG,),
    },
    "trainer/failures/test_failures_before_training.py": {
        "test_an_output_location_that_is_not_writable_is_reported": (Reason.INVALID_URI,),
        "test_a_first_node_that_never_resolves_is_reported": (Reason.MASTER_NOT_FOUND,),
        "test_nodes_that_would_resume_from_different_steps_do_not_start": (Reason.RESUME_MISMATCH,),
    },
    "trainer/attempt/test_notes.py": {
        "test_a_run_that_would_omit_too_many_rows_fails_before_training": (
            Reason.TOO_MANY_ROWS_LEFT_OUT,
        ),
    },
    "trainer/inputs/test_fetching.py": {
        "test_a_store_without_credentials_is_reported_in_one_sentence": (
            Reason.CREDENTIALS_MISSING,
        ),
        "test_a_directory_without_a_model_is_refused_with_its_contents": (Reason.MODEL_NOT_FOUND,),
        "test_a_file_that_cannot_be_data_is_refused_before_torch_is_imported": (
            Reason.UNKNOWN_FILE_TYPE,
        ),
    },
    "storage/test_trainer_in_store.py": {
        "test_a_wrong_key_is_a_final_user_error": (Reason.ACCESS_DENIED,),
        "test_a_missing_bucket_is_named": (Reason.BUCKET_NOT_FOUND,),
        "test_an_unreachable_store_is_not_a_user_error": (Reason.STORE_UNREACHABLE,),
    },
    "trainer/storage/test_store_variables.py": {
        "test_a_value_that_cannot_be_sent_is_refused_with_its_variable_and_never_shown": (
            Reason.INVALID_CREDENTIALS,
        ),
    },
    "trainer/storage/test_store_refusals.py": {
        "test_a_refusal_has_the_same_category_for_every_request": (
            Reason.CREDENTIALS_EXPIRED,
            Reason.STORE_REFUSED,
            Reason.STORE_FULL,
            Reason.CLOCK_SKEWED,
        ),
        "test_a_wrong_region_is_reported_with_the_right_one": (Reason.WRONG_REGION,),
        "test_a_busy_store_is_retried_and_finally_reported_as_busy": (Reason.STORE_BUSY,),
    },
    "trainer/publication/test_ownership.py": {
        "test_a_location_belongs_to_the_job_that_claimed_it": (Reason.OUTPUT_OWNED,),
    },
    "trainer/failures/test_failures_of_torch.py": {
        "test_full_shared_memory_is_not_reported_as_a_full_disk": (Reason.SHARED_MEMORY_FULL,),
        "test_truncated_weights_are_a_user_error": (Reason.MODEL_DAMAGED,),
        "test_torch_errors_about_devices_and_peers_are_classified": (
            Reason.OUT_OF_MEMORY,
            Reason.DATA_WORKER_KILLED,
            Reason.GPU_FAILED,
            Reason.GPU_UNAVAILABLE,
            Reason.NCCL_ERROR,
            Reason.COLLECTIVE_TIMEOUT,
            Reason.RENDEZVOUS_FAILED,
            Reason.CUDA_ERROR,
        ),
        "test_a_full_disk_is_reported_as_such": (Reason.DISK_FULL,),
        "test_too_little_host_memory_for_a_tensor_is_reported_as_such": (
            Reason.HOST_OUT_OF_MEMORY,
        ),
    },
    "trainer/ranks/test_hostile_checkpoints.py": {
        "test_a_run_does_not_resume_from_a_checkpoint_that_would_execute_code": (
            Reason.CHECKPOINT_UNSAFE,
        ),
    },
    "trainer/failures/test_hub_failures.py": {
        "test_each_answer_of_a_hub_has_its_category": (
            Reason.REVISION_NOT_FOUND,
            Reason.HUB_ACCESS_DENIED,
        ),
        "test_an_objection_of_the_hub_is_a_user_error": (Reason.HUB_REFUSED,),
        "test_an_unreachable_hub_is_an_infrastructure_error": (Reason.HUB_UNREACHABLE,),
    },
    "trainer/publication/hub/test_hub_push.py": {
        "test_a_missing_token_is_reported_before_training": (Reason.HUB_TOKEN_MISSING,),
        "test_a_wrong_token_is_reported_before_training": (Reason.HUB_TOKEN_INVALID,),
        "test_a_damaged_artifact_is_not_pushed": (Reason.ARTIFACT_DAMAGED,),
    },
    "trainer/plan/test_trackers.py": {
        "test_a_missing_tracker_is_reported_before_anything_is_downloaded": (
            Reason.TRACKER_NOT_INSTALLED,
        ),
    },
    "trainer/plan/test_packages.py": {
        "test_an_optimizer_missing_in_the_image_is_refused_before_anything_is_fetched": (
            Reason.PACKAGE_NOT_INSTALLED,
        ),
    },
    "trainer/ranks/data/test_remedies_fix.py": {
        "test_a_missing_dataset_configuration_is_reported_with_the_existing_ones": (
            Reason.DATASET_CONFIG_NOT_FOUND,
        ),
    },
    "trainer/plan/node/test_attention.py": {
        "test_flash_attention_missing_in_the_image_is_refused_before_anything_is_fetched": (
            Reason.ATTENTION_NOT_INSTALLED,
        ),
    },
    "trainer/failures/test_triton_compiler.py": {
        "test_an_image_without_a_compiler_is_refused_before_anything_is_fetched": (
            Reason.COMPILER_MISSING,
        ),
    },
    "trainer/plan/node/test_deepspeed_kernels.py": {
        "test_a_config_that_needs_a_compiler_is_refused_before_anything_is_fetched": (
            Reason.DEEPSPEED_NEEDS_COMPILER,
        ),
    },
    "trainer/plan/test_topology.py": {
        "test_deepspeed_missing_in_the_image_is_refused_before_anything_is_fetched": (
            Reason.DEEPSPEED_NOT_INSTALLED,
        ),
        "test_a_world_that_cannot_resume_is_refused_with_alternatives": (
            Reason.WORLD_SIZE_CHANGED,
        ),
    },
    "trainer/attempt/test_supervisor.py": {
        "test_a_missing_dataset_is_a_user_error_with_the_searched_location": (
            Reason.DATASET_NOT_FOUND,
        ),
        "test_a_document_of_another_release_still_gives_an_outcome": (Reason.INVALID_RUN_DOCUMENT,),
        "test_an_attempt_trains_only_the_run_document_it_was_created_for": (
            Reason.RUN_DOCUMENT_MISMATCH,
        ),
    },
    "trainer/inputs/test_web_files.py": {
        "test_a_refusal_names_the_address_without_its_secrets": (Reason.DATASET_ACCESS_DENIED,),
        "test_an_unreachable_server_is_an_infrastructure_error": (Reason.DATA_SERVER_UNREACHABLE,),
    },
    "trainer/ranks/data/test_data_sources.py": {
        "test_unreadable_data_are_reported_with_file_and_line": (
            Reason.INVALID_DATASET,
            Reason.EMPTY_DATASET,
        ),
        "test_unusable_evaluation_data_are_refused": (Reason.SPLIT_EXISTS, Reason.SPLIT_TOO_LARGE),
    },
    "trainer/ranks/data/test_data_shapes.py": {
        "test_data_without_a_supported_shape_are_refused_with_the_key_that_would_fit": (
            Reason.DATASET_COLUMN_MISSING,
            Reason.UNKNOWN_ROLE,
        ),
    },
    "trainer/ranks/chat/test_fitting.py": {
        "test_a_template_that_refuses_all_rows_ends_the_run_with_the_reason": (
            Reason.CONVERSATIONS_REFUSED,
        ),
    },
    "trainer/ranks/data/test_system_message.py": {
        "test_data_without_conversations_are_a_user_error": (Reason.NOT_CONVERSATIONAL,),
    },
    "trainer/ranks/test_ranks.py": {
        "test_unusable_data_are_a_user_error": (Reason.SPLIT_NOT_FOUND,),
        "test_an_unexpected_world_size_fails_before_the_model_is_loaded": (
            Reason.WORLD_SIZE_MISMATCH,
        ),
    },
    "trainer/ranks/data/test_mixtures.py": {
        "test_an_entry_that_does_not_fit_is_named": (Reason.MIXTURE_OF_SHAPES,),
    },
    "trainer/ranks/test_vision.py": {
        "test_a_missing_image_is_named": (Reason.IMAGE_NOT_FOUND,),
    },
    "trainer/inputs/test_chat_templates.py": {
        "test_a_missing_template_file_is_refused_with_the_nearest_one": (
            Reason.CHAT_TEMPLATE_NOT_FOUND,
        ),
        "test_conversations_for_a_model_without_a_template_are_refused_before_training": (
            Reason.CHAT_TEMPLATE_MISSING,
        ),
        "test_a_template_that_cannot_be_used_for_training_is_refused_in_one_sentence": (
            Reason.INVALID_CHAT_TEMPLATE,
        ),
        "test_a_template_whose_tokens_the_model_lacks_is_refused_with_the_tokens_to_add": (
            Reason.CHAT_TEMPLATE_TOKENS_MISSING,
        ),
        "test_an_artifact_that_could_not_end_its_answers_is_refused": (Reason.EOS_MISSING,),
    },
    "trainer/ranks/data/test_loss_masks.py": {
        "test_a_template_that_does_not_mark_answers_is_refused_before_training": (
            Reason.ASSISTANT_TOKENS_UNKNOWN,
        ),
        "test_a_run_that_would_learn_nothing_fails_before_its_first_step_with_the_cause": (
            Reason.NOTHING_TRAINED,
        ),
    },
    "trainer/ranks/test_metric_fn.py": {
        "test_a_module_of_the_image_is_accepted_and_one_of_the_working_directory_is_not": (
            Reason.METRIC_NOT_FOUND,
        ),
        "test_a_broken_function_fails_before_the_first_step": (Reason.METRIC_FAILED,),
        "test_without_answers_the_run_is_refused_as_having_nothing_to_evaluate": (
            Reason.NOTHING_TO_JUDGE,
        ),
    },
    "trainer/ranks/movement/test_weights_unmoved.py": {
        "test_weights_that_were_not_trained_are_a_failure_and_the_training_is_kept": (
            Reason.WEIGHTS_UNMOVED,
        ),
    },
    "trainer/ranks/test_verification.py": {
        "test_training_that_has_diverged_is_stopped_early": (Reason.NOT_FINITE,),
        "test_a_model_worse_than_its_base_is_a_failure_and_is_kept": (Reason.WORSE_THAN_BASE,),
        "test_an_artifact_that_does_not_load_completely_is_a_failure": (
            Reason.ARTIFACT_BROKEN,
            Reason.NOTHING_SAVED,
        ),
    },
    "trainer/ranks/test_distribution.py": {
        "test_an_unplanned_strategy_ends_the_run_before_the_model_is_loaded": (
            Reason.DISTRIBUTION_MISMATCH,
        ),
    },
    "trainer/attempt/test_training.py": {
        "test_a_stopped_run_resumes_and_ends_like_an_uninterrupted_one": (Reason.INTERRUPTED,),
    },
    "trainer/plan/node/test_gpu_check.py": {
        "test_a_gpu_that_cannot_train_is_refused_with_who_can_change_it": (
            Reason.DRIVER_MISSING,
            Reason.DRIVER_TOO_OLD,
            Reason.GPU_MISSING,
            Reason.GPU_TOO_OLD,
        ),
        "test_weights_that_fit_with_no_batch_size_are_refused_before_training": (
            Reason.GPU_TOO_SMALL,
        ),
        "test_amd_gpus_are_refused_by_an_image_built_for_cuda": (Reason.GPU_UNSUPPORTED,),
    },
    "trainer/exchange/test_rank_results.py": {
        "test_the_cause_is_the_first_independent_failure": (Reason.PEER_LOST,),
    },
    "trainer/supervision/test_lost_ranks.py": {
        "test_a_killed_rank_is_named_with_its_signal": (Reason.RANK_KILLED,),
        "test_the_crashed_one_of_two_ranks_is_named": (Reason.RANK_CRASHED,),
        "test_hanging_ranks_are_ended_and_the_silent_one_is_named": (Reason.RANKS_HUNG,),
    },
    "trainer/ranks/test_merging.py": {
        "test_a_merged_model_that_computes_different_results_is_not_published": (
            Reason.MERGE_DIFFERS,
        ),
    },
    "trainer/ranks/test_rank_log.py": {
        "test_an_error_that_only_code_can_cause_keeps_its_traceback_and_is_not_a_user_error": (
            Reason.INTERNAL,
        ),
    },
    "operator/job/observe/test_verdict.py": {
        "test_a_pod_without_an_outcome_is_judged_by_its_state": (
            Reason.EXITED_WITHOUT_OUTCOME,
            Reason.POD_FAILED,
            Reason.POD_STOPPED,
        ),
        "test_the_kubelets_message_about_a_trainer_without_an_outcome_is_kept": (
            Reason.CONTAINER_START_FAILED,
        ),
        "test_a_training_job_that_failed_without_a_reason_is_an_infrastructure_failure": (
            Reason.TRAINING_JOB_FAILED,
        ),
    },
    "operator/job/observe/test_injected_containers.py": {
        "test_a_failing_init_container_is_named_with_its_message": (Reason.INIT_CONTAINER_FAILED,),
        "test_a_sidecar_that_fails_on_one_node_and_ends_the_others_is_named": (
            Reason.SIDECAR_FAILED,
        ),
    },
    "operator/job/test_never_started.py": {
        "test_a_pod_refused_by_its_node_uses_up_no_attempt_and_the_node_is_named": (
            Reason.POD_REJECTED,
        ),
    },
    "operator/job/test_interruptions.py": {
        "test_evictions_that_gain_no_step_end_the_job_with_a_remedy": (
            Reason.INTERRUPTED_TOO_OFTEN,
        ),
    },
    "operator/job/observe/test_observation.py": {
        "test_a_deleted_training_job_is_an_interruption_that_ends_now": (
            Reason.TRAINING_JOB_DELETED,
        ),
    },
    "operator/job/decide/test_decision.py": {
        "test_a_failure_without_a_recorded_cause_ends_the_job_as_unexplained": (
            Reason.UNEXPLAINED,
        ),
        "test_suspending_records_the_reason_first_and_then_deletes_the_job": (Reason.SUSPENDED,),
        "test_a_changed_spec_stops_the_running_attempt_and_starts_again_afterwards": (
            Reason.SPEC_CHANGED,
        ),
        "test_a_job_that_exceeds_its_deadline_is_stopped_and_fails": (Reason.DEADLINE_EXCEEDED,),
        "test_pods_that_do_not_start_in_time_fail_the_job_with_their_message": (
            Reason.PODS_NOT_STARTED,
        ),
    },
}
"""The reasons that each test provokes, by its file below tests/."""

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
        "| reason | category | meaning | remedy |",
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
