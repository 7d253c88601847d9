# SPDX-License-Identifier: Apache-2.0
"""The only table of failure reasons, for trainer and operator.

A failure is built from its reason, which determines the category. docs/user/failures.md is
generated from this table. A parsed failure may have another reason: one of an older release, or
Kubernetes' own, such as `Evicted`. No I/O here.
"""

from enum import StrEnum
from typing import Self

from finetune_contract.outcome import Category, Failure


class Reason(StrEnum):
    """Each with its category, its message for users, and the remedy, both for the docs.

    The values never change: scripts and troubleshooting guides are keyed by them.
    """

    categories: tuple[Category, ...]
    """The possible categories; usually one."""
    words: str
    """The message of such a failure, in Markdown."""
    remedy: str
    """The remedy, in Markdown."""

    def __new__(
        cls, value: str, categories: Category | tuple[Category, ...], words: str, remedy: str
    ) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.categories = (categories,) if isinstance(categories, Category) else categories
        reason.words = words
        reason.remedy = remedy
        return reason

    def failure(
        self,
        message: str,
        remedy: str = "",
        *,
        category: Category | None = None,
        rank: int | None = None,
    ) -> Failure:
        """A failure for this reason. `category` is required if the table has several."""
        (responsible,) = self.categories if category is None else (category,)
        return Failure(category=responsible, reason=self, message=message, remedy=remedy, rank=rank)

    # A table: one line per cell.
    # fmt: off
    INVALID_JOB = ("InvalidJob", Category.USER,
        "The file contains no valid job; the message has the line or the `--set` of each error",
        "Change each line as its error describes")
    INVALID_CONFIG = ("InvalidConfig", Category.USER,
        ("Keys of the config are invalid: each with the value that was found and the value that "
        "is expected, or with TRL's own message"),
        "Change the named keys as the message describes")
    INVALID_URI = ("InvalidUri", Category.USER,
        "A location is not an `s3://`, `gs://`, `az://` or `file://` URI, or has no bucket",
        "Write a URI such as `s3://bucket/folder`")
    CREDENTIALS_MISSING = ("CredentialsMissing", Category.USER,
        "A location is in an object store, and the environment contains no credentials",
        "Set `credentialsSecretRef` to a Secret with the keys")
    ACCESS_DENIED = ("AccessDenied", Category.USER,
        "The store denied access, with its own message; or a path cannot be read or written",
        "Check the keys in the Secret, or the owner of the directory")
    BUCKET_NOT_FOUND = ("BucketNotFound", Category.USER,
        "The bucket does not exist",
        "Create it: the trainer does not create buckets")
    INVALID_CREDENTIALS = ("InvalidCredentials", Category.USER,
        ("A variable has a value that no client can send (a newline within it, quotation marks, "
        "an address without `http://`). The message contains the variable, never the value"),
        "Write that key of the Secret again, without these characters")
    CREDENTIALS_EXPIRED = ("CredentialsExpired", (Category.USER, Category.INFRASTRUCTURE),
        ("A token is no longer valid. It is a user error if the token was never valid in this "
        "attempt. A token that expired during training is retried, because the next pod reads "
        "the Secret again"),
        "Renew the token in the Secret, or use a workload identity")
    WRONG_REGION = ("WrongRegion", Category.USER,
        "The configured region differs from the region of the bucket; the message contains both",
        "Set `AWS_REGION` to the bucket's region")
    STORE_REFUSED = ("StoreRefused", (Category.USER, Category.INFRASTRUCTURE),
        ("The store rejected a request that it does not support (an archived or locked file, a "
        "disabled key), with its error code and message. A code that is not in the table of "
        "docs/platform/object-stores.md is retried"),
        "Correct the cause in the store's message")
    OUTPUT_OWNED = ("OutputOwned", Category.USER,
        "Another job owns the location; the message names it, and its cluster if it differs",
        ("Choose another location, or [take it "
        "over](../platform/object-stores.md#who-owns-a-location)"))
    MODEL_NOT_FOUND = ("ModelNotFound", Category.USER,
        "The model was not found; the message contains its location and what is there",
        "Set `model_name_or_path` to a folder, a location or a hub name with a complete model")
    MODEL_DAMAGED = ("ModelDamaged", Category.USER,
        ("The model's files are damaged: Git LFS pointers, missing or truncated files, tensors "
        "that are missing or have the name of a wrapper, or weights that cannot be read"),
        "Upload the complete model, as described in the message")
    REVISION_NOT_FOUND = ("RevisionNotFound", Category.USER,
        "The branch, tag or commit does not exist on the hub",
        "Set `model_revision` to a branch, tag or commit that exists")
    HUB_ACCESS_DENIED = ("HubAccessDenied", Category.USER,
        "The hub denied access: the name is private, gated or misspelled",
        "Write the name as the hub has it, or set `HF_TOKEN`")
    HUB_TOKEN_MISSING = ("HubTokenMissing", Category.USER,
        "`push_to_hub` is set without a token; reported before anything is downloaded",
        "Set `HF_TOKEN` in a Secret")
    HUB_TOKEN_INVALID = ("HubTokenInvalid", Category.USER,
        "The hub does not accept the token",
        "Set `HF_TOKEN` to a token that has not expired")
    HUB_REFUSED = ("HubRefused", Category.USER,
        "The hub rejected a repository or its files, with its own message",
        "Set `hub_model_id` to `OWNER/NAME`")
    TRACKER_NOT_INSTALLED = ("TrackerNotInstalled", Category.USER,
        "The image does not contain the tracker; the message lists the installed ones",
        "Set one of them, or an image that contains the tracker")
    PACKAGE_NOT_INSTALLED = ("PackageNotInstalled", Category.USER,
        "An optimizer, a hub kernel or the model's files need a package that the image lacks",
        "Use the alternative in the remedy, or a `spec.image` that contains the package")
    ATTENTION_NOT_INSTALLED = ("AttentionNotInstalled", Category.USER,
        "The image does not contain the package for this attention",
        "Leave `attn_implementation` out, or set an image that contains the package")
    COMPILER_MISSING = ("CompilerMissing", Category.USER,
        ("The image has no C compiler or no Python headers, on a node with GPUs. Reported before "
        "anything is downloaded, or with Triton's own message"),
        "Use a `spec.image` with gcc and Python's headers, or remove `spec.image`")
    DEEPSPEED_NEEDS_COMPILER = ("DeepSpeedNeedsCompiler", Category.USER,
        "DeepSpeed's own optimizer, or offloading to a disk, needs a compiler",
        "Set `optim` instead of `deepspeed.optimizer`, or an image that has nvcc")
    DEEPSPEED_NOT_INSTALLED = ("DeepSpeedNotInstalled", Category.USER,
        "The config requires DeepSpeed, and the custom image does not contain it",
        "Set `accelerate_config: fsdp2`, or an image that contains DeepSpeed")
    DATASET_NOT_FOUND = ("DatasetNotFound", Category.USER,
        "The data was not found; the message contains its location and the most similar name",
        "Set `dataset_name` to the location of the data")
    DATASET_ACCESS_DENIED = ("DatasetAccessDenied", Category.USER,
        "The web server denied access; the message contains the address without its signature",
        "Sign the address again, or make it accessible")
    UNKNOWN_FILE_TYPE = ("UnknownFileType", Category.USER,
        "A file has an unsupported type",
        "Rename it according to its type, or save it as CSV or JSON lines")
    INVALID_DATASET = ("InvalidDataset", Category.USER,
        "A file cannot be read; the message contains the line and the cause",
        "Change the line as the message describes")
    EMPTY_DATASET = ("EmptyDataset", Category.USER,
        "A split has no rows, or all of its rows were left out; the message contains the cause",
        "Add examples")
    DATASET_COLUMN_MISSING = ("DatasetColumnMissing", Category.USER,
        "The data does not have the columns that TRL trains on; the message lists both",
        "Rename the columns, or set `dataset_columns`")
    UNKNOWN_ROLE = ("UnknownRole", Category.USER,
        "The chat template does not support a role; the message lists the supported ones",
        "Write one of these roles")
    NOT_CONVERSATIONAL = ("NotConversational", Category.USER,
        "`system_message` is set, but the data does not consist of conversations",
        "Remove `system_message`")
    SPLIT_NOT_FOUND = ("SplitNotFound", Category.USER,
        "The split does not exist; the message lists the existing ones",
        "Set one of them")
    DATASET_CONFIG_NOT_FOUND = ("DatasetConfigNotFound", Category.USER,
        "`dataset_config` is missing or unknown; the message lists the configurations",
        "Set `dataset_config` to one of them")
    SPLIT_EXISTS = ("SplitExists", Category.USER,
        "The split that should be created already exists",
        "Leave `test_split_size` out, or name another split to create")
    SPLIT_TOO_LARGE = ("SplitTooLarge", Category.USER,
        "The test split would leave no rows for training",
        "Reduce its size")
    MIXTURE_OF_SHAPES = ("MixtureOfShapes", Category.USER,
        "A part of a mixture has other columns than the first part",
        "Convert them to the same shape")
    IMAGE_NOT_FOUND = ("ImageNotFound", Category.USER,
        "The image of a row was not found",
        "Upload it next to the data")
    CHAT_TEMPLATE_NOT_FOUND = ("ChatTemplateNotFound", Category.USER,
        "The file or name is not a chat template",
        "Set `chat_template_path` to a `.jinja` file, or a folder with a tokenizer")
    CHAT_TEMPLATE_MISSING = ("ChatTemplateMissing", Category.USER,
        "The data consists of conversations, and the model has no chat template",
        "Set `chat_template_path`")
    INVALID_CHAT_TEMPLATE = ("InvalidChatTemplate", Category.USER,
        "The chat template is not valid Jinja; the message contains the error and its line",
        "Change the template at that line")
    CONVERSATIONS_REFUSED = ("ConversationsRefused", Category.USER,
        "The chat template rejects all rows; the message contains its error, turn and row",
        "Set `merge_system_message`, another `chat_template_path`, or turns that the template has")
    CHAT_TEMPLATE_TOKENS_MISSING = ("ChatTemplateTokensMissing", Category.USER,
        "The model's vocabulary lacks tokens of the chat template",
        "Set `added_tokens`")
    ASSISTANT_TOKENS_UNKNOWN = ("AssistantTokensUnknown", Category.USER,
        "`assistant_only_loss` is set, and the chat template does not mark answers",
        "Set another template, or remove the key")
    EOS_MISSING = ("EosMissing", Category.USER,
        "The model's answers would not end",
        "Set `eos_token`")
    METRIC_NOT_FOUND = ("MetricNotFound", Category.USER,
        "The function in `metric_fn` was not found",
        "Set `metric_fn` to `FILE.py:FUNCTION`, with the file next to the data")
    METRIC_FAILED = ("MetricFailed", Category.USER,
        "The user's function raised an exception; the message contains its line",
        "Change the function until a call with lists works where you wrote it")
    NOTHING_TO_JUDGE = ("NothingToJudge", Category.USER,
        "`metric_fn` is set, and there are no answers to evaluate",
        "Add a test split")
    NOTHING_TRAINED = ("NothingTrained", Category.USER,
        "No token counts for the loss, or no weight has changed",
        "Raise `max_length` or `learning_rate`")
    TOO_MANY_ROWS_LEFT_OUT = ("TooManyRowsLeftOut", Category.USER,
        "More rows than `max_rows_left_out` cannot be trained on; the message has the cause",
        "Change the rows as the reasons describe, or raise `max_rows_left_out`")
    WEIGHTS_UNMOVED = ("WeightsUnmoved", Category.USER,
        ("Some trained tensors still equal those of the base model, although their layers "
        "received gradients. The trained artifact is kept"),
        "Set another `optim` or `accelerate_config`, and report the problem")
    NOT_FINITE = ("NotFinite", Category.USER,
        "No gradient was finite from a certain step on, or a weight is NaN",
        "Lower `learning_rate`")
    WORSE_THAN_BASE = ("WorseThanBase", Category.USER,
        "The trained model has a worse eval loss, or `metric_for_best_model`, than the base",
        "Lower `learning_rate`, or check the data")
    WORLD_SIZE_CHANGED = ("WorldSizeChanged", Category.USER,
        "The number of processes changed, and the strategy cannot reshard the checkpoint",
        "Use the same number of processes again, or another `spec.runToken` to begin again")
    CHECKPOINT_UNSAFE = ("CheckpointUnsafe", Category.USER,
        "The checkpoint contains a foreign object. It was not loaded, and no code ran",
        "Find out who can write to the output location, and delete the checkpoint")
    DISTRIBUTION_MISMATCH = ("DistributionMismatch", Category.USER,
        "The ranks have different distribution settings",
        "Remove the conflicting settings from `env`")
    OUT_OF_MEMORY = ("OutOfMemory", Category.OUT_OF_MEMORY,
        ("GPU memory ran out during loading or training, or parts of the model were not loaded "
        "onto the GPU. If memory runs out during verification or merging, the run succeeds and "
        "its note lists what was skipped"),
        "Apply the changes in the remedy, or use a larger GPU")
    INTERRUPTED = ("Interrupted", Category.INTERRUPTION,
        "The attempt was interrupted; the message has the step and the state of the checkpoint",
        "No action: the next attempt resumes")
    STORE_UNREACHABLE = ("StoreUnreachable", Category.INFRASTRUCTURE,
        "The store did not respond; the message contains the location and the time",
        "Check the endpoint")
    STORE_BUSY = ("StoreBusy", Category.INFRASTRUCTURE,
        "The store failed all retries: too many requests, or an error of its own",
        "Wait, run fewer jobs at the same time, or request a higher rate limit")
    STORE_FULL = ("StoreFull", Category.INFRASTRUCTURE,
        "The bucket, account or disk of the store is full",
        "Delete data that is no longer needed there, or raise its quota")
    CLOCK_SKEWED = ("ClockSkewed", Category.INFRASTRUCTURE,
        "The clocks of node and store differ, so that no signature is valid",
        "Synchronize the node's clock")
    DATA_SERVER_UNREACHABLE = ("DataServerUnreachable", Category.INFRASTRUCTURE,
        "The web server with the data did not respond",
        "Check that the server is up, or put the file into an object store")
    HUB_UNREACHABLE = ("HubUnreachable", Category.INFRASTRUCTURE,
        "The hub is unavailable, busy or failing",
        "Allow the pods to reach it, or use an object store")
    DISK_FULL = ("DiskFull", Category.INFRASTRUCTURE,
        "A file could not be written because the disk is full",
        "Provide more disk, or keep fewer checkpoints")
    SHARED_MEMORY_FULL = ("SharedMemoryFull", Category.INFRASTRUCTURE,
        "`/dev/shm`, through which the processes of a pod exchange data, is full",
        "Raise `spec.resources.sharedMemory`, or use fewer data loader workers")
    HOST_OUT_OF_MEMORY = ("HostOutOfMemory", Category.INFRASTRUCTURE,
        "Memory of the node could not be allocated, or the pod used more memory than its limit",
        "Raise `spec.resources.memory`")
    DATA_WORKER_KILLED = ("DataWorkerKilled", Category.INFRASTRUCTURE,
        "A process of the data loader was killed",
        "Raise `spec.resources.memory`, or use fewer workers")
    GPU_FAILED = ("GpuFailed", Category.INFRASTRUCTURE,
        "The GPU failed: ECC, NVLink, Xid or launch errors",
        "Check the node's kernel log, and drain the node")
    DRIVER_MISSING = ("DriverMissing", Category.PLATFORM,
        "GPUs were requested, but the container has no NVIDIA driver",
        "Check device plugin and container runtime; set `podTemplate.spec.runtimeClassName`")
    DRIVER_TOO_OLD = ("DriverTooOld", Category.PLATFORM,
        "The image needs a newer CUDA version than the node's driver; the message has both",
        "Update the driver, choose other nodes, or use an image for that CUDA version")
    GPU_MISSING = ("GpuMissing", Category.INFRASTRUCTURE,
        "The driver shows fewer GPUs than requested; the message contains both numbers",
        "Check device plugin and kernel log")
    GPU_TOO_OLD = ("GpuTooOld", Category.USER,
        "The image has no kernels for the GPU; the message has the oldest supported generation",
        "Choose nodes with newer GPUs, or an image for an older CUDA version")
    GPU_TOO_SMALL = ("GpuTooSmall", Category.USER,
        "Weights, gradients and optimizer states need more memory than each GPU has",
        "Apply the changes in the remedy, or use a larger GPU")
    GPU_UNSUPPORTED = ("GpuUnsupported", Category.USER,
        "The image's torch was not built for these GPUs, or a pod has several MIG slices",
        "Choose another image or other nodes")
    GPU_UNAVAILABLE = ("GpuUnavailable", Category.INFRASTRUCTURE,
        "A device is missing or busy, or the driver is not ready",
        "Check driver and device plugin")
    NCCL_ERROR = ("NcclError", Category.INFRASTRUCTURE,
        "NCCL reported an error, which the message contains",
        "Set `NCCL_DEBUG: INFO`, and check the links")
    COLLECTIVE_TIMEOUT = ("CollectiveTimeout", Category.INFRASTRUCTURE,
        "The ranks waited longer than `ddp_timeout`",
        "Find the rank that is late")
    PEER_LOST = ("PeerLost", Category.INFRASTRUCTURE,
        "The connection to another rank was lost. Reported only if no other cause is known",
        "Check the other nodes")
    RENDEZVOUS_FAILED = ("RendezvousFailed", Category.INFRASTRUCTURE,
        "The ranks could not connect to each other",
        "Check pods and NetworkPolicy")
    MASTER_NOT_FOUND = ("MasterNotFound", Category.INFRASTRUCTURE,
        "The name of the first node does not resolve",
        "Check its pod and DNS")
    WORLD_SIZE_MISMATCH = ("WorldSizeMismatch", Category.INFRASTRUCTURE,
        "The number of processes differs from the expected number; the message contains both",
        "Check that every node's pod runs")
    RESUME_MISMATCH = ("ResumeMismatch", Category.INFRASTRUCTURE,
        "Nodes fetched different checkpoints",
        "No action: the next attempt fetches them again")
    RANK_KILLED = ("RankKilled", Category.INFRASTRUCTURE,
        "A rank was killed by a signal",
        "Raise `spec.resources.memory`")
    RANK_CRASHED = ("RankCrashed", Category.INFRASTRUCTURE,
        "A rank crashed with a signal (SIGSEGV, SIGABRT, SIGBUS)",
        "Check log, GPU and driver")
    RANKS_HUNG = ("RanksHung", Category.INFRASTRUCTURE,
        "No rank made progress for too long; the log contains the stacks",
        "Raise `FINETUNE_HANG_SECONDS` if steps take that long")
    ARTIFACT_DAMAGED = ("ArtifactDamaged", Category.INFRASTRUCTURE,
        "Files were corrupted during the upload",
        "No action: the next attempt publishes again")
    ARTIFACT_BROKEN = ("ArtifactBroken", Category.INTERNAL,
        "The artifact does not load completely, or contains unchanged weights",
        "Report it")
    NOTHING_SAVED = ("NothingSaved", Category.INTERNAL,
        "The trainer saved no tensors",
        "Check the log")
    MERGE_DIFFERS = ("MergeDiffers", Category.INTERNAL,
        "The merged model computes different outputs: noted, and the run succeeds without it",
        "Report it")
    CUDA_ERROR = ("CudaError", Category.INTERNAL,
        "CUDA reported an error: an illegal access, an assertion in a kernel",
        "Set `CUDA_LAUNCH_BLOCKING: '1'`")
    INVALID_RUN_DOCUMENT = ("InvalidRunDocument", Category.INTERNAL,
        "The run document was written by another release",
        "Use operator and image of the same release")
    RUN_DOCUMENT_MISMATCH = ("RunDocumentMismatch", Category.INTERRUPTION,
        ("The run document does not belong to the attempt's Job, for example a copy that a node "
        "kept for an earlier pod. Nothing was trained, and no attempt is counted"),
        "No action: the next pod has its own")
    INTERNAL = ("Internal", Category.INTERNAL,
        "The trainer raised an unexpected exception; the log contains the traceback",
        "Report it")
    # Set by the operator, if the trainer wrote no outcome or was ended from outside.
    EXITED_WITHOUT_OUTCOME = ("ExitedWithoutOutcome", tuple(Category),
        ("The trainer exited without an outcome. The exit code determines the category; the "
        "message contains the last lines of the log"),
        "Check the trainer's log")
    POD_FAILED = ("PodFailed", (Category.INTERRUPTION, Category.INFRASTRUCTURE),
        "The pod failed before its container; an interruption if the pod was disrupted",
        "Check the pod's node")
    POD_REJECTED = ("PodRejected", Category.INTERRUPTION,
        ("The node did not start the pod; the message contains the kubelet's reason and message. "
        "No attempt is counted, and the next one starts after a few minutes"),
        "No action if the node recovers; otherwise cordon it and check its kubelet and devices")
    INIT_CONTAINER_FAILED = ("InitContainerFailed", Category.INFRASTRUCTURE,
        "An init container failed before the trainer; the message has its last output",
        "Check its requirements; if it is injected, contact your platform team")
    SIDECAR_FAILED = ("SidecarFailed", Category.INFRASTRUCTURE,
        "Another container failed on one of several nodes, which ended the training of all nodes",
        "Check its requirements; if it is injected, contact your platform team")
    CONTAINER_START_FAILED = ("ContainerStartFailed", Category.INFRASTRUCTURE,
        "The container runtime could not start the trainer; the message has the cause",
        "Check `spec.image` and the container runtime of the node")
    INTERRUPTED_TOO_OFTEN = ("InterruptedTooOften", (Category.USER, Category.PLATFORM),
        ("The same cause stopped the pods repeatedly without a completed step in between (5 "
        "evictions, or 10 other interruptions); the message contains the last one"),
        "Correct that cause: more disk or memory, a higher priority, earlier checkpoints")
    POD_STOPPED = ("PodStopped", Category.INTERRUPTION,
        "The pod was stopped before it had saved",
        "Raise `spec.terminationGracePeriodSeconds` if this happens again")
    TRAINING_JOB_FAILED = ("TrainingJobFailed", Category.INFRASTRUCTURE,
        "The Job failed and no pods are left; the message is that of its `Failed` condition",
        "Check the Job's events")
    TRAINING_JOB_DELETED = ("TrainingJobDeleted", Category.INTERRUPTION,
        "The Job was deleted",
        "To end the run, delete the FineTuneJob and not its Job")
    UNEXPLAINED = ("Unexplained", Category.INTERNAL,
        "The attempt failed without a recorded cause, because its record was edited",
        "Check the trainer's log")
    SUSPENDED = ("Suspended", Category.INTERRUPTION,
        "`spec.suspend` is true",
        "Set it to false to resume from the last checkpoint")
    SPEC_CHANGED = ("SpecChanged", Category.INTERRUPTION,
        "The spec was changed to define another run",
        "No action: the next attempt trains with the new spec")
    DEADLINE_EXCEEDED = ("DeadlineExceeded", Category.USER,
        "The job exceeded its `spec.activeDeadlineSeconds`",
        "Raise it, and apply the job again: its last checkpoint is kept")
    PODS_NOT_STARTED = ("PodsNotStarted", (Category.USER, Category.PLATFORM),
        ("Not all pods were running by `spec.startDeadlineSeconds`. The message contains what "
        "the others wait for, such as an injected container or a volume, which determines the "
        "category"),
        "Correct the cause of the wait, or raise `spec.startDeadlineSeconds`")
    # fmt: on
