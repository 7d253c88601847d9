# SPDX-License-Identifier: Apache-2.0
"""The one table of failure reasons: what trainer and operator say when an attempt fails.

A failure is made from its reason, which knows the responsible party. docs/failures.md is generated
from this table. A failure that was read may have another reason: one of an older release, or one of
Kubernetes' own, such as `Evicted`. No I/O here.
"""

from enum import StrEnum
from typing import Self

from finetune_contract.outcome import Blame, Failure


class Reason(StrEnum):
    """Each with its responsible party, what its user reads, and the remedy, both for the docs.

    The values never change: scripts and troubleshooting guides are keyed by them.
    """

    blames: tuple[Blame, ...]
    """Who may be responsible; mostly one."""
    words: str
    """What the message of such a failure says, in Markdown."""
    remedy: str
    """What to do about it, in Markdown."""

    def __new__(
        cls, value: str, blames: Blame | tuple[Blame, ...], words: str, remedy: str
    ) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.blames = (blames,) if isinstance(blames, Blame) else blames
        reason.words = words
        reason.remedy = remedy
        return reason

    def failure(
        self, message: str, remedy: str = "", *, blame: Blame | None = None, rank: int | None = None
    ) -> Failure:
        """A failure for this reason. `blame` is required where the table names several parties."""
        (responsible,) = self.blames if blame is None else (blame,)
        return Failure(blame=responsible, reason=self, message=message, remedy=remedy, rank=rank)

    # A table: one line per cell.
    # fmt: off
    INVALID_JOB = ("InvalidJob", Blame.USER,
        ("the file holds no job, or one that `finetune validate` refuses; each mistake with its "
        "line or `--set`"),
        "correct the file")
    INVALID_CONFIG = ("InvalidConfig", Blame.USER,
        ("each wrong key of the config, what was found and what was expected; or what TRL objects "
        "to"),
        "correct the keys named")
    INVALID_URI = ("InvalidUri", Blame.USER,
        "a place that is no `s3://`, `gs://`, `az://`, `file://`, or names no bucket",
        "correct the URI")
    CREDENTIALS_MISSING = ("CredentialsMissing", Blame.USER,
        "a place in a store, and no way of signing in the environment",
        "name a Secret with the keys")
    ACCESS_DENIED = ("AccessDenied", Blame.USER,
        "what the store refused and in its own words; or a path that may not be read or written",
        "check the keys in the Secret, or the folder's owner")
    BUCKET_NOT_FOUND = ("BucketNotFound", Blame.USER,
        "the bucket that is not there",
        "create it: the trainer makes none")
    OUTPUT_OWNED = ("OutputOwned", Blame.USER,
        "the job that wrote to this place first",
        "choose another place")
    MODEL_NOT_FOUND = ("ModelNotFound", Blame.USER,
        "where it looked for the model, and what lies there instead",
        "correct `model_name_or_path`")
    MODEL_DAMAGED = ("ModelDamaged", Blame.USER,
        "weights that cannot be read",
        "upload the model again")
    REVISION_NOT_FOUND = ("RevisionNotFound", Blame.USER,
        "the branch, tag or commit that the hub does not have",
        "correct `model_revision`")
    HUB_ACCESS_DENIED = ("HubAccessDenied", Blame.USER,
        "what the hub refused: a private, gated or misspelt name",
        "correct the name, or give `HF_TOKEN`")
    HUB_TOKEN_MISSING = ("HubTokenMissing", Blame.USER,
        "`push_to_hub` without a token, before anything is downloaded",
        "give `HF_TOKEN` in a Secret")
    HUB_TOKEN_INVALID = ("HubTokenInvalid", Blame.USER,
        "a token that the hub does not know",
        "give a valid one")
    HUB_REFUSED = ("HubRefused", Blame.USER,
        "what the hub objects to in a repository or its files",
        "correct `hub_model_id`")
    TRACKER_NOT_INSTALLED = ("TrackerNotInstalled", Blame.USER,
        "the tracker that the image lacks, and those that it has",
        "name one of them, or bring an image")
    ATTENTION_NOT_INSTALLED = ("AttentionNotInstalled", Blame.USER,
        "flash attention that the image lacks, and the package",
        "leave `attn_implementation` out, or bring an image")
    COMPILER_MISSING = ("CompilerMissing", Blame.USER,
        ("an image without a C compiler, or without Python's headers, on a node with GPUs, before "
        "anything is downloaded; or Triton's own sentence about it"),
        "`spec.image` with gcc and Python's headers, or none")
    DEEPSPEED_NEEDS_COMPILER = ("DeepSpeedNeedsCompiler", Blame.USER,
        "DeepSpeed's own optimizer, or offloading to a disk, in an image without a compiler",
        "`optim` in place of `deepspeed.optimizer`, or an image that has nvcc")
    DEEPSPEED_NOT_INSTALLED = ("DeepSpeedNotInstalled", Blame.USER,
        "the config asks for DeepSpeed, which an image of one's own lacks",
        "`accelerate_config: fsdp2`, or an image that has it")
    DATASET_NOT_FOUND = ("DatasetNotFound", Blame.USER,
        "where it looked for the data, and the nearest name",
        "correct `dataset_name`")
    DATASET_ACCESS_DENIED = ("DatasetAccessDenied", Blame.USER,
        "the address that refused, without its signature",
        "sign it again, or open it")
    UNKNOWN_FILE_TYPE = ("UnknownFileType", Blame.USER,
        "a file of no type that can be data",
        "name it by its type")
    INVALID_DATASET = ("InvalidDataset", Blame.USER,
        "file and line that cannot be read, and why",
        "correct the line")
    EMPTY_DATASET = ("EmptyDataset", Blame.USER,
        "the split without rows, or whose rows were all dropped, and why",
        "add examples")
    DATASET_COLUMN_MISSING = ("DatasetColumnMissing", Blame.USER,
        "the columns that are there, and what TRL trains on",
        "rename them, or set `dataset_columns`")
    UNKNOWN_ROLE = ("UnknownRole", Blame.USER,
        "the role that no chat template knows",
        "correct the role")
    NOT_CONVERSATIONAL = ("NotConversational", Blame.USER,
        "`system_message` for data without conversations",
        "leave it out")
    SPLIT_NOT_FOUND = ("SplitNotFound", Blame.USER,
        "the split that is not there, and those that are",
        "name one of them")
    SPLIT_EXISTS = ("SplitExists", Blame.USER,
        "a split to be made that is there already",
        "use it")
    SPLIT_TOO_LARGE = ("SplitTooLarge", Blame.USER,
        "a test split that would leave nothing to train on",
        "make it smaller")
    MIXTURE_OF_SHAPES = ("MixtureOfShapes", Blame.USER,
        "the part of a mixture that has other columns than the first",
        "give them the same shape")
    IMAGE_NOT_FOUND = ("ImageNotFound", Blame.USER,
        "the image that a row names and nobody finds",
        "upload it beside the data")
    CHAT_TEMPLATE_NOT_FOUND = ("ChatTemplateNotFound", Blame.USER,
        "the file or name that is no template",
        "correct `chat_template_path`")
    CHAT_TEMPLATE_MISSING = ("ChatTemplateMissing", Blame.USER,
        "conversations, and a model without a template",
        "set `chat_template_path`")
    INVALID_CHAT_TEMPLATE = ("InvalidChatTemplate", Blame.USER,
        "what jinja objects to, with the line",
        "correct the template")
    CHAT_TEMPLATE_TOKENS_MISSING = ("ChatTemplateTokensMissing", Blame.USER,
        "tokens of the template that the model does not know",
        "set `added_tokens`")
    ASSISTANT_TOKENS_UNKNOWN = ("AssistantTokensUnknown", Blame.USER,
        "`assistant_only_loss` with a template that does not mark answers",
        "another template, or without it")
    EOS_MISSING = ("EosMissing", Blame.USER,
        "a model whose answers would never end",
        "set `eos_token`")
    METRIC_NOT_FOUND = ("MetricNotFound", Blame.USER,
        "the function that `metric_fn` names and nobody finds",
        "correct `metric_fn`")
    METRIC_FAILED = ("MetricFailed", Blame.USER,
        "what the user's function raised, and its line",
        "correct the function")
    NOTHING_TO_JUDGE = ("NothingToJudge", Blame.USER,
        "`metric_fn` without answers to judge",
        "add a test split")
    NOTHING_TRAINED = ("NothingTrained", Blame.USER,
        "no token counts for the loss, or no weight has moved",
        "raise `max_length` or `learning_rate`")
    WEIGHTS_UNMOVED = ("WeightsUnmoved", Blame.USER,
        ("which of the trained tensors are still the base model's, although the gradient of the "
        "loss came through their layers; what was trained is kept"),
        "another `optim` or `accelerate_config`; report it")
    NOT_FINITE = ("NotFinite", Blame.USER,
        "since which step there was no finite gradient, or which weight is no number",
        "lower `learning_rate`")
    WORSE_THAN_BASE = ("WorseThanBase", Blame.USER,
        "eval loss of the base and of the tuned model",
        "lower `learning_rate`, or look at the data")
    WORLD_SIZE_CHANGED = ("WorldSizeChanged", Blame.USER,
        "a checkpoint of another number of processes, where the strategy cannot reshard it",
        "the ways out")
    DISTRIBUTION_MISMATCH = ("DistributionMismatch", Blame.USER,
        "ranks that were told to share the work differently",
        "take out what `env` says otherwise")
    OUT_OF_MEMORY = ("OutOfMemory", Blame.OUT_OF_MEMORY,
        ("what torch said while loading or training, or which parts of the model were loaded "
        "elsewhere than on the GPU; where memory runs out while verifying or merging, the run "
        "succeeds and its note says what was not tried"),
        "what is left to lower, from micro-batch to QLoRA; a larger GPU in the end")
    INTERRUPTED = ("Interrupted", Blame.INTERRUPTION,
        "the step, and whether a checkpoint is complete",
        "nothing: the next attempt goes on")
    STORE_UNREACHABLE = ("StoreUnreachable", Blame.INFRASTRUCTURE,
        "the place that did not answer, and for how long",
        "check the endpoint")
    DATA_SERVER_UNREACHABLE = ("DataServerUnreachable", Blame.INFRASTRUCTURE,
        "the address that did not answer",
        "check it")
    HUB_UNREACHABLE = ("HubUnreachable", Blame.INFRASTRUCTURE,
        "a hub that is away, busy or failing",
        "let the pods reach it, or use a store")
    DISK_FULL = ("DiskFull", Blame.INFRASTRUCTURE,
        "what could not be written",
        "more room, fewer checkpoints")
    HOST_OUT_OF_MEMORY = ("HostOutOfMemory", Blame.INFRASTRUCTURE,
        "what could not be allocated on the node; or that the pod used more memory than its limit",
        "raise `spec.resources.memory`")
    DATA_WORKER_KILLED = ("DataWorkerKilled", Blame.INFRASTRUCTURE,
        "the loader's process that was killed",
        "more memory, fewer workers")
    GPU_FAILED = ("GpuFailed", Blame.INFRASTRUCTURE,
        "ECC, NVLink, Xid, launch failures",
        "look at the node's kernel log, drain it")
    DRIVER_MISSING = ("DriverMissing", Blame.PLATFORM,
        "GPUs were promised, and the container has no NVIDIA driver",
        "check device plugin and container runtime; set `podTemplate.spec.runtimeClassName`")
    DRIVER_TOO_OLD = ("DriverTooOld", Blame.PLATFORM,
        "the CUDA that the node's driver runs, and the one that the image needs",
        "update the driver, choose other nodes, or an image for that CUDA")
    GPU_MISSING = ("GpuMissing", Blame.INFRASTRUCTURE,
        "how many GPUs were promised and how many the driver shows, in its own words",
        "check device plugin and kernel log")
    GPU_TOO_OLD = ("GpuTooOld", Blame.USER,
        "a GPU that this image has no kernels for, and from which generation on it has them",
        "choose nodes with newer GPUs, or an image for an older CUDA")
    GPU_TOO_SMALL = ("GpuTooSmall", Blame.USER,
        "what weights, gradients and optimizer need on each GPU, and what the GPU has",
        "the changes with which it fits, or a larger GPU")
    GPU_UNSUPPORTED = ("GpuUnsupported", Blame.USER,
        "GPUs that this image's torch was not built for; several MIG slices in one pod",
        "choose another image or other nodes")
    GPU_UNAVAILABLE = ("GpuUnavailable", Blame.INFRASTRUCTURE,
        "no device, a busy one, a driver that is not ready",
        "check driver and device plugin")
    NCCL_ERROR = ("NcclError", Blame.INFRASTRUCTURE,
        "NCCL's own sentence",
        "`NCCL_DEBUG: INFO`; check the links")
    COLLECTIVE_TIMEOUT = ("CollectiveTimeout", Blame.INFRASTRUCTURE,
        "the ranks waited longer than `ddp_timeout`",
        "find the late rank")
    PEER_LOST = ("PeerLost", Blame.INFRASTRUCTURE,
        "the connection to another rank was lost; an echo, told only if nobody knows better",
        "see the other nodes")
    RENDEZVOUS_FAILED = ("RendezvousFailed", Blame.INFRASTRUCTURE,
        "the ranks did not find each other",
        "check pods and NetworkPolicy")
    MASTER_NOT_FOUND = ("MasterNotFound", Blame.INFRASTRUCTURE,
        "the first node's name that does not resolve",
        "check its pod and DNS")
    WORLD_SIZE_MISMATCH = ("WorldSizeMismatch", Blame.INFRASTRUCTURE,
        "processes promised and found",
        "check that every node's pod runs")
    RESUME_MISMATCH = ("ResumeMismatch", Blame.INFRASTRUCTURE,
        "nodes that fetched different checkpoints",
        "nothing: the next attempt fetches again")
    RANK_KILLED = ("RankKilled", Blame.INFRASTRUCTURE,
        "the rank and its signal",
        "raise `spec.resources.memory`")
    RANK_CRASHED = ("RankCrashed", Blame.INFRASTRUCTURE,
        "the rank and its signal (SIGSEGV, SIGABRT, SIGBUS)",
        "look at log, GPU and driver")
    RANKS_HUNG = ("RanksHung", Blame.INFRASTRUCTURE,
        "for how long no rank got on, and where one stood; stacks in the log",
        "`FINETUNE_HANG_SECONDS` if it takes that long")
    ARTIFACT_DAMAGED = ("ArtifactDamaged", Blame.INFRASTRUCTURE,
        "files that arrived in the store other than they left",
        "the next attempt publishes again")
    ARTIFACT_BROKEN = ("ArtifactBroken", Blame.INTERNAL,
        "an artifact that does not load whole, or holds weights as they were before training",
        "report it")
    NOTHING_SAVED = ("NothingSaved", Blame.INTERNAL,
        "a trainer that saved no tensors",
        "look at the log")
    MERGE_DIFFERS = ("MergeDiffers", Blame.INTERNAL,
        "a merged model that computes something else",
        "report it")
    CUDA_ERROR = ("CudaError", Blame.INTERNAL,
        "CUDA's sentence: an illegal access, an assertion in a kernel",
        "`CUDA_LAUNCH_BLOCKING: '1'`")
    INVALID_RUN_DOCUMENT = ("InvalidRunDocument", Blame.INTERNAL,
        "a run document of another release",
        "use operator and image of one release")
    RUN_DOCUMENT_MISMATCH = ("RunDocumentMismatch", Blame.INFRASTRUCTURE,
        "a run document that is not the one that the attempt's Job was made for",
        "nothing: the next attempt has its own")
    INTERNAL = ("Internal", Blame.INTERNAL,
        "the exception, and its traceback in the log",
        "report it")
    # Given by the operator, where the trainer left no outcome or was ended from outside.
    EXITED_WITHOUT_OUTCOME = ("ExitedWithoutOutcome", tuple(Blame),
        "the exit code, which decides the blame, and the last lines of the log",
        "look at the trainer's log")
    POD_FAILED = ("PodFailed", (Blame.INTERRUPTION, Blame.INFRASTRUCTURE),
        "why the pod failed before its container could end; an interruption if it was disrupted",
        "look at the pod's node")
    POD_STOPPED = ("PodStopped", Blame.INTERRUPTION,
        "what stopped the pod before it had saved",
        "raise `spec.terminationGracePeriodSeconds` if this happens again")
    TRAINING_JOB_FAILED = ("TrainingJobFailed", Blame.INFRASTRUCTURE,
        "what the Job's `Failed` condition says, where all pods are gone",
        "look at the Job's events")
    TRAINING_JOB_DELETED = ("TrainingJobDeleted", Blame.INTERRUPTION,
        "the Job that somebody deleted",
        "delete the FineTuneJob, not its Job, to end the run")
    UNEXPLAINED = ("Unexplained", Blame.INTERNAL,
        "that the attempt failed without a recorded cause: its record was edited",
        "look at the trainer's log")
    SUSPENDED = ("Suspended", Blame.INTERRUPTION,
        "`spec.suspend` is true",
        "set it to false to resume from the last checkpoint")
    SPEC_CHANGED = ("SpecChanged", Blame.INTERRUPTION,
        "the spec was changed to define another run",
        "nothing: the next attempt trains with the new spec")
    DEADLINE_EXCEEDED = ("DeadlineExceeded", Blame.USER,
        "the job took longer than its `spec.activeDeadlineSeconds`",
        "raise it, and apply the job again: its last checkpoint is kept")
    PODS_NOT_STARTED = ("PodsNotStarted", Blame.USER,
        "how many pods ran by `spec.startDeadlineSeconds`, and what the others wait for",
        "ask for less, use a queue, or raise `spec.startDeadlineSeconds`")
    # fmt: on
