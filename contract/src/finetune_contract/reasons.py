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
        ("the file contains no job, or one that `finetune validate` rejects; each error with "
        "its line or `--set`"),
        "change each line as its error describes")
    INVALID_CONFIG = ("InvalidConfig", Category.USER,
        ("each wrong key of the config, what was found and what was expected; or what TRL "
        "objects to"),
        "change the named keys as the message describes")
    INVALID_URI = ("InvalidUri", Category.USER,
        "a location other than `s3://`, `gs://`, `az://` or `file://`, or one without a bucket",
        "write a URI such as `s3://bucket/folder`")
    CREDENTIALS_MISSING = ("CredentialsMissing", Category.USER,
        "a location in a store, and no credentials in the environment",
        "name a Secret with the keys")
    ACCESS_DENIED = ("AccessDenied", Category.USER,
        "what the store refused, in its own words; or a path without read or write permission",
        "check the keys in the Secret, or the folder's owner")
    BUCKET_NOT_FOUND = ("BucketNotFound", Category.USER,
        "the bucket that does not exist",
        "create it: the trainer does not create buckets")
    INVALID_CREDENTIALS = ("InvalidCredentials", Category.USER,
        ("the variable whose value no client can send (a newline within it, quotation marks, an "
        "address without `http://`); never the value"),
        "write that key of the Secret again, without these characters")
    CREDENTIALS_EXPIRED = ("CredentialsExpired", (Category.USER, Category.INFRASTRUCTURE),
        ("a token that is no longer valid: a user error if it was never valid in this attempt; "
        "one that expired during training is retried, since the next pod reads the Secret again"),
        "renew the token in the Secret, or use a workload identity")
    WRONG_REGION = ("WrongRegion", Category.USER,
        "the region of the bucket, as reported by the store, and the configured one",
        "set `AWS_REGION` to the bucket's region")
    STORE_REFUSED = ("StoreRefused", (Category.USER, Category.INFRASTRUCTURE),
        ("the store's code and words for a request that it does not support (an archived or "
        "locked file, a disabled key); a code that is not in the table of "
        "docs/platform/object-stores.md is retried"),
        "change what the store names")
    OUTPUT_OWNED = ("OutputOwned", Category.USER,
        "the job that wrote to this location first, and its cluster if that is a different one",
        ("choose another location, or [take it "
        "over](../platform/object-stores.md#whom-a-place-belongs-to)"))
    MODEL_NOT_FOUND = ("ModelNotFound", Category.USER,
        "the location of the model, and what was found there instead",
        "set `model_name_or_path` to a folder, a location or a hub name with a complete model")
    MODEL_DAMAGED = ("ModelDamaged", Category.USER,
        ("what is wrong with the model's files: Git LFS pointers, files that are missing or cut "
        "short, tensors that are missing or named by a wrapper; or weights that cannot be read"),
        "upload the complete model, as described in the message")
    REVISION_NOT_FOUND = ("RevisionNotFound", Category.USER,
        "the branch, tag or commit that the hub does not have",
        "set `model_revision` to a branch, tag or commit that exists")
    HUB_ACCESS_DENIED = ("HubAccessDenied", Category.USER,
        "what the hub refused: a private, gated or misspelt name",
        "write the name as the hub has it, or set `HF_TOKEN`")
    HUB_TOKEN_MISSING = ("HubTokenMissing", Category.USER,
        "`push_to_hub` without a token, before anything is downloaded",
        "set `HF_TOKEN` in a Secret")
    HUB_TOKEN_INVALID = ("HubTokenInvalid", Category.USER,
        "a token that the hub does not accept",
        "set `HF_TOKEN` to a token that has not expired")
    HUB_REFUSED = ("HubRefused", Category.USER,
        "what the hub objects to in a repository or its files",
        "set `hub_model_id` to `OWNER/NAME`")
    TRACKER_NOT_INSTALLED = ("TrackerNotInstalled", Category.USER,
        "the tracker that the image lacks, and those that it has",
        "name one of them, or set an image that has it")
    PACKAGE_NOT_INSTALLED = ("PackageNotInstalled", Category.USER,
        ("the package that an optimizer, a kernel of the hub, or the model's own files need, "
        "and that the image lacks"),
        "an alternative without it, as in the remedy, or a `spec.image` that has it")
    ATTENTION_NOT_INSTALLED = ("AttentionNotInstalled", Category.USER,
        "flash attention that the image lacks, and the package",
        "leave `attn_implementation` out, or set an image that has it")
    COMPILER_MISSING = ("CompilerMissing", Category.USER,
        ("an image without a C compiler, or without Python's headers, on a node with GPUs, "
        "before anything is downloaded; or Triton's own message"),
        "`spec.image` with gcc and Python's headers, or none")
    DEEPSPEED_NEEDS_COMPILER = ("DeepSpeedNeedsCompiler", Category.USER,
        "DeepSpeed's own optimizer, or offloading to a disk, in an image without a compiler",
        "`optim` in place of `deepspeed.optimizer`, or an image that has nvcc")
    DEEPSPEED_NOT_INSTALLED = ("DeepSpeedNotInstalled", Category.USER,
        "the config requires DeepSpeed, which a custom image lacks",
        "`accelerate_config: fsdp2`, or an image that has it")
    DATASET_NOT_FOUND = ("DatasetNotFound", Category.USER,
        "the location of the data, and the most similar name",
        "set `dataset_name` to the location of the data")
    DATASET_ACCESS_DENIED = ("DatasetAccessDenied", Category.USER,
        "the address that refused, without its signature",
        "sign it again, or open it")
    UNKNOWN_FILE_TYPE = ("UnknownFileType", Category.USER,
        "a file with an unsupported type",
        "rename it according to its type, or save it as CSV or JSON lines")
    INVALID_DATASET = ("InvalidDataset", Category.USER,
        "file and line that cannot be read, and why",
        "change the line as the message describes")
    EMPTY_DATASET = ("EmptyDataset", Category.USER,
        "the split without rows, or whose rows were all dropped, and why",
        "add examples")
    DATASET_COLUMN_MISSING = ("DatasetColumnMissing", Category.USER,
        "the columns of the data, and what TRL trains on",
        "rename them, or set `dataset_columns`")
    UNKNOWN_ROLE = ("UnknownRole", Category.USER,
        "the role that the chat template does not support, and those that it does",
        "write one of these roles")
    NOT_CONVERSATIONAL = ("NotConversational", Category.USER,
        "`system_message` for data without conversations",
        "leave it out")
    SPLIT_NOT_FOUND = ("SplitNotFound", Category.USER,
        "the split that does not exist, and those that do",
        "name one of them")
    DATASET_CONFIG_NOT_FOUND = ("DatasetConfigNotFound", Category.USER,
        "the configurations that a data set has, if none, or a missing one, is chosen",
        "set `dataset_config` to one of them")
    SPLIT_EXISTS = ("SplitExists", Category.USER,
        "a split to create that already exists",
        "leave `test_split_size` out, or name another split to create")
    SPLIT_TOO_LARGE = ("SplitTooLarge", Category.USER,
        "a test split that would leave nothing to train on",
        "make it smaller")
    MIXTURE_OF_SHAPES = ("MixtureOfShapes", Category.USER,
        "the part of a mixture that has other columns than the first",
        "give them the same shape")
    IMAGE_NOT_FOUND = ("ImageNotFound", Category.USER,
        "the image of a row that was not found",
        "upload it next to the data")
    CHAT_TEMPLATE_NOT_FOUND = ("ChatTemplateNotFound", Category.USER,
        "the file or name that is not a template",
        "set `chat_template_path` to a `.jinja` file, or a folder with a tokenizer")
    CHAT_TEMPLATE_MISSING = ("ChatTemplateMissing", Category.USER,
        "conversations, and a model without a template",
        "set `chat_template_path`")
    INVALID_CHAT_TEMPLATE = ("InvalidChatTemplate", Category.USER,
        "the Jinja error, with its line",
        "change the template at that line")
    CONVERSATIONS_REFUSED = ("ConversationsRefused", Category.USER,
        "what the chat template refuses in all rows, with turn and row, and its own words",
        "`merge_system_message`, another `chat_template_path`, or turns that the template has")
    CHAT_TEMPLATE_TOKENS_MISSING = ("ChatTemplateTokensMissing", Category.USER,
        "tokens of the template that are not in the model's vocabulary",
        "set `added_tokens`")
    ASSISTANT_TOKENS_UNKNOWN = ("AssistantTokensUnknown", Category.USER,
        "`assistant_only_loss` with a template that does not mark answers",
        "another template, or without it")
    EOS_MISSING = ("EosMissing", Category.USER,
        "a model whose answers would not stop",
        "set `eos_token`")
    METRIC_NOT_FOUND = ("MetricNotFound", Category.USER,
        "the function in `metric_fn` that was not found",
        "set `metric_fn` to `FILE.py:FUNCTION`, with the file next to the data")
    METRIC_FAILED = ("MetricFailed", Category.USER,
        "what the user's function raised, and its line",
        "change the function until a call with lists works where you wrote it")
    NOTHING_TO_JUDGE = ("NothingToJudge", Category.USER,
        "`metric_fn` without answers to evaluate",
        "add a test split")
    NOTHING_TRAINED = ("NothingTrained", Category.USER,
        "no token counts for the loss, or no weight has moved",
        "raise `max_length` or `learning_rate`")
    TOO_MANY_ROWS_LEFT_OUT = ("TooManyRowsLeftOut", Category.USER,
        "how many rows cannot be trained on, and why, if they exceed `max_rows_left_out`",
        "change the rows as the reasons describe, or raise `max_rows_left_out`")
    WEIGHTS_UNMOVED = ("WeightsUnmoved", Category.USER,
        ("which of the trained tensors are still the base model's, although their layers "
        "received gradients; the trained artifact is kept"),
        "another `optim` or `accelerate_config`; report it")
    NOT_FINITE = ("NotFinite", Category.USER,
        "the step since which no gradient was finite, or the weight that is NaN",
        "lower `learning_rate`")
    WORSE_THAN_BASE = ("WorseThanBase", Category.USER,
        "eval loss of the base and of the tuned model",
        "lower `learning_rate`, or check the data")
    WORLD_SIZE_CHANGED = ("WorldSizeChanged", Category.USER,
        "a checkpoint of another number of processes, where the strategy cannot reshard it",
        "the same number of processes again, or another `spec.runToken` to begin again")
    CHECKPOINT_UNSAFE = ("CheckpointUnsafe", Category.USER,
        "what the checkpoint contains that no trainer saves; it was not loaded, and no code ran",
        "find out who can write to the output location; delete the checkpoint")
    DISTRIBUTION_MISMATCH = ("DistributionMismatch", Category.USER,
        "ranks with different distribution settings",
        "remove the conflicting settings from `env`")
    OUT_OF_MEMORY = ("OutOfMemory", Category.OUT_OF_MEMORY,
        ("torch's message while loading or training, or which parts of the model were not "
        "loaded onto the GPU; if memory runs out while verifying or merging, the run succeeds "
        "and its note lists what was skipped"),
        "what can still be reduced, from micro-batch to QLoRA; finally, a larger GPU")
    INTERRUPTED = ("Interrupted", Category.INTERRUPTION,
        "the step, and whether a checkpoint is complete",
        "no action: the next attempt resumes")
    STORE_UNREACHABLE = ("StoreUnreachable", Category.INFRASTRUCTURE,
        "the location that did not respond, and for how long",
        "check the endpoint")
    STORE_BUSY = ("StoreBusy", Category.INFRASTRUCTURE,
        "the store's response after all retries: too many requests, or its own error",
        "wait, run fewer jobs at the same time, or request a higher rate limit")
    STORE_FULL = ("StoreFull", Category.INFRASTRUCTURE,
        "that the bucket, account or disk of the store is full",
        "delete what is not needed there, or raise its quota")
    CLOCK_SKEWED = ("ClockSkewed", Category.INFRASTRUCTURE,
        "that node and store disagree about the time, so that no signature is valid",
        "synchronize the node's clock")
    DATA_SERVER_UNREACHABLE = ("DataServerUnreachable", Category.INFRASTRUCTURE,
        "the address that did not answer",
        "check that the server is up, or put the file into an object store")
    HUB_UNREACHABLE = ("HubUnreachable", Category.INFRASTRUCTURE,
        "a hub that is unavailable, busy or failing",
        "allow the pods to reach it, or use an object store")
    DISK_FULL = ("DiskFull", Category.INFRASTRUCTURE,
        "what could not be written",
        "more room, fewer checkpoints")
    SHARED_MEMORY_FULL = ("SharedMemoryFull", Category.INFRASTRUCTURE,
        "what could not be written to `/dev/shm`, through which processes of a pod exchange data",
        "raise `spec.resources.sharedMemory`, or fewer data loader workers")
    HOST_OUT_OF_MEMORY = ("HostOutOfMemory", Category.INFRASTRUCTURE,
        "what could not be allocated on the node; or that the pod used more memory than its limit",
        "raise `spec.resources.memory`")
    DATA_WORKER_KILLED = ("DataWorkerKilled", Category.INFRASTRUCTURE,
        "the loader's process that was killed",
        "more memory, fewer workers")
    GPU_FAILED = ("GpuFailed", Category.INFRASTRUCTURE,
        "ECC, NVLink, Xid, launch failures",
        "check the node's kernel log, drain it")
    DRIVER_MISSING = ("DriverMissing", Category.PLATFORM,
        "GPUs were requested, but the container has no NVIDIA driver",
        "check device plugin and container runtime; set `podTemplate.spec.runtimeClassName`")
    DRIVER_TOO_OLD = ("DriverTooOld", Category.PLATFORM,
        "the CUDA that the node's driver runs, and the one that the image needs",
        "update the driver, choose other nodes, or an image for that CUDA")
    GPU_MISSING = ("GpuMissing", Category.INFRASTRUCTURE,
        "how many GPUs were requested and how many the driver shows, in its own words",
        "check device plugin and kernel log")
    GPU_TOO_OLD = ("GpuTooOld", Category.USER,
        "a GPU that this image has no kernels for, and the oldest generation that it supports",
        "choose nodes with newer GPUs, or an image for an older CUDA")
    GPU_TOO_SMALL = ("GpuTooSmall", Category.USER,
        "what weights, gradients and optimizer need on each GPU, and what the GPU has",
        "the changes that make it fit, or a larger GPU")
    GPU_UNSUPPORTED = ("GpuUnsupported", Category.USER,
        "GPUs that this image's torch was not built for; several MIG slices in one pod",
        "choose another image or other nodes")
    GPU_UNAVAILABLE = ("GpuUnavailable", Category.INFRASTRUCTURE,
        "no device, a busy one, a driver that is not ready",
        "check driver and device plugin")
    NCCL_ERROR = ("NcclError", Category.INFRASTRUCTURE,
        "NCCL's own sentence",
        "`NCCL_DEBUG: INFO`; check the links")
    COLLECTIVE_TIMEOUT = ("CollectiveTimeout", Category.INFRASTRUCTURE,
        "the ranks waited longer than `ddp_timeout`",
        "find the late rank")
    PEER_LOST = ("PeerLost", Category.INFRASTRUCTURE,
        "the connection to another rank was lost; reported only if no other cause is known",
        "check the other nodes")
    RENDEZVOUS_FAILED = ("RendezvousFailed", Category.INFRASTRUCTURE,
        "the ranks could not connect to each other",
        "check pods and NetworkPolicy")
    MASTER_NOT_FOUND = ("MasterNotFound", Category.INFRASTRUCTURE,
        "the first node's name that does not resolve",
        "check its pod and DNS")
    WORLD_SIZE_MISMATCH = ("WorldSizeMismatch", Category.INFRASTRUCTURE,
        "processes expected and found",
        "check that every node's pod runs")
    RESUME_MISMATCH = ("ResumeMismatch", Category.INFRASTRUCTURE,
        "nodes that fetched different checkpoints",
        "no action: the next attempt fetches again")
    RANK_KILLED = ("RankKilled", Category.INFRASTRUCTURE,
        "the rank and its signal",
        "raise `spec.resources.memory`")
    RANK_CRASHED = ("RankCrashed", Category.INFRASTRUCTURE,
        "the rank and its signal (SIGSEGV, SIGABRT, SIGBUS)",
        "check log, GPU and driver")
    RANKS_HUNG = ("RanksHung", Category.INFRASTRUCTURE,
        "how long no rank made progress, and what one was doing; stacks in the log",
        "`FINETUNE_HANG_SECONDS` if it takes that long")
    ARTIFACT_DAMAGED = ("ArtifactDamaged", Category.INFRASTRUCTURE,
        "files that were corrupted during the upload",
        "the next attempt publishes again")
    ARTIFACT_BROKEN = ("ArtifactBroken", Category.INTERNAL,
        "an artifact that does not load completely, or contains unchanged weights",
        "report it")
    NOTHING_SAVED = ("NothingSaved", Category.INTERNAL,
        "a trainer that saved no tensors",
        "check the log")
    MERGE_DIFFERS = ("MergeDiffers", Category.INTERNAL,
        "a merged model with different outputs: noted, and the run succeeds without it",
        "report it")
    CUDA_ERROR = ("CudaError", Category.INTERNAL,
        "CUDA's sentence: an illegal access, an assertion in a kernel",
        "`CUDA_LAUNCH_BLOCKING: '1'`")
    INVALID_RUN_DOCUMENT = ("InvalidRunDocument", Category.INTERNAL,
        "a run document of another release",
        "use operator and image of one release")
    RUN_DOCUMENT_MISMATCH = ("RunDocumentMismatch", Category.INTERRUPTION,
        ("a run document that is not the one that belongs to the attempt's Job, such as the "
        "copy that a node kept for an earlier pod; nothing was trained, and no attempt is "
        "counted"),
        "no action: the next pod has its own")
    INTERNAL = ("Internal", Category.INTERNAL,
        "the exception, and its traceback in the log",
        "report it")
    # Set by the operator, if the trainer wrote no outcome or was ended from outside.
    EXITED_WITHOUT_OUTCOME = ("ExitedWithoutOutcome", tuple(Category),
        "the exit code, which decides the category, and the last lines of the log",
        "check the trainer's log")
    POD_FAILED = ("PodFailed", (Category.INTERRUPTION, Category.INFRASTRUCTURE),
        "why the pod failed before its container could end; an interruption if it was disrupted",
        "check the pod's node")
    POD_REJECTED = ("PodRejected", Category.INTERRUPTION,
        ("the node that did not start the pod, and the kubelet's reason and words; no attempt "
        "is counted, and the next one starts after a few minutes"),
        "no action if the node recovers; otherwise cordon it and check its kubelet and devices")
    INIT_CONTAINER_FAILED = ("InitContainerFailed", Category.INFRASTRUCTURE,
        "the init container that failed before the trainer started, and its last output",
        "check what it does and needs; if it is injected, ask your platform team")
    SIDECAR_FAILED = ("SidecarFailed", Category.INFRASTRUCTURE,
        ("the other container that failed on one of several nodes, which ended the training of "
        "all nodes"),
        "check what it does and needs; if it is injected, ask your platform team")
    CONTAINER_START_FAILED = ("ContainerStartFailed", Category.INFRASTRUCTURE,
        "why the container runtime could not start the trainer, in its words",
        "check `spec.image` and the container runtime of the node")
    INTERRUPTED_TOO_OFTEN = ("InterruptedTooOften", (Category.USER, Category.PLATFORM),
        ("how often one cause has stopped the pods in a row without completing a step (5 "
        "evictions, 10 others), and the last message"),
        "what that cause requires: more disk or memory, a higher priority, an earlier checkpoint")
    POD_STOPPED = ("PodStopped", Category.INTERRUPTION,
        "what stopped the pod before it had saved",
        "raise `spec.terminationGracePeriodSeconds` if this happens again")
    TRAINING_JOB_FAILED = ("TrainingJobFailed", Category.INFRASTRUCTURE,
        "the message of the Job's `Failed` condition, if no pods are left",
        "check the Job's events")
    TRAINING_JOB_DELETED = ("TrainingJobDeleted", Category.INTERRUPTION,
        "the Job that was deleted",
        "delete the FineTuneJob, not its Job, to end the run")
    UNEXPLAINED = ("Unexplained", Category.INTERNAL,
        "that the attempt failed without a recorded cause: its record was edited",
        "check the trainer's log")
    SUSPENDED = ("Suspended", Category.INTERRUPTION,
        "`spec.suspend` is true",
        "set it to false to resume from the last checkpoint")
    SPEC_CHANGED = ("SpecChanged", Category.INTERRUPTION,
        "the spec was changed to define another run",
        "no action: the next attempt trains with the new spec")
    DEADLINE_EXCEEDED = ("DeadlineExceeded", Category.USER,
        "the job exceeded its `spec.activeDeadlineSeconds`",
        "raise it, and apply the job again: its last checkpoint is kept")
    PODS_NOT_STARTED = ("PodsNotStarted", (Category.USER, Category.PLATFORM),
        ("how many pods were running by `spec.startDeadlineSeconds`, and what the others wait "
        "for, which may be an injected container or a volume; that determines the category"),
        "resolve what the pods wait for, or raise `spec.startDeadlineSeconds`")
    # fmt: on
