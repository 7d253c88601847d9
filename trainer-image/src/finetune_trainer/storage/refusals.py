# SPDX-License-Identifier: Apache-2.0
"""The table from a store's error codes to reason, category and remedy. No I/O here.

`refusal_of` returns the first row whose codes or words match; a response without a code is judged
by its HTTP status. docs/platform/object-stores.md is generated from the table.
"""

import re
from dataclasses import dataclass

from finetune_contract.outcome import Category
from finetune_contract.reasons import Reason
from finetune_trainer.storage.store_answers import REDIRECTED, StoreAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The meaning of a store's response."""

    reason: Reason
    what: str
    """The beginning of the sentence for users; the store's own message follows."""
    remedy: str
    codes: frozenset[str] = frozenset()
    words: "re.Pattern[str] | None" = None
    """A code that is too general for one row counts only with these words."""
    category: Category | None = None
    """The category, if the reason has several."""
    may_pass: bool = False
    """Whether the same request may succeed a few seconds later."""


EXPIRED = Refusal(
    reason=Reason.CREDENTIALS_EXPIRED,
    category=Category.USER,
    what="the credentials have expired",
    remedy="renew the token in the Secret, or use keys or a workload identity that do not expire",
    codes=frozenset(
        {
            *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
            *("ExpiredAuthenticationToken", "AADSTS7000222", "AADSTS700024"),
        }
    ),
    words=re.compile(
        r"has expired|is expired|token expired|not valid in the specified time frame"
        r"|Lifetime validation failed|expired_access_token",
        re.IGNORECASE,
    ),
)
CLOCK = Refusal(
    reason=Reason.CLOCK_SKEWED,
    what="the store and the node disagree about the time",
    remedy="synchronize the node's clock (NTP)",
    codes=frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"}),
    words=re.compile(
        r"not yet current|Request date header too old|use a clock with skew|date in the request",
        re.IGNORECASE,
    ),
)
DENIED = Refusal(
    reason=Reason.ACCESS_DENIED,
    what="the object store refused the credentials",
    remedy="check the keys in the Secret, and that they may list, read and write there",
    codes=frozenset(
        {
            # Amazon S3 and STS, and compatible stores.
            *("AccessDenied", "AccessDeniedException", "InvalidAccessKeyId", "InvalidToken"),
            *("SignatureDoesNotMatch", "InvalidSecurity", "MissingSecurityHeader", "NotSignedUp"),
            *("AccountProblem", "AllAccessDisabled", "UnauthorizedAccess", "InvalidIdentityToken"),
            *("IDPRejectedClaim", "InvalidClientTokenId", "AuthorizationHeaderMalformed"),
            "AuthorizationQueryParametersError",
            # Google Cloud Storage and its token service.
            *("forbidden", "insufficientPermissions", "authError", "invalid_grant"),
            *("invalid_client", "unauthorized_client", "invalid_scope", "UserProjectMissing"),
            *("UserProjectAccessDenied", "UserProjectAccountProblem", "accountDisabled"),
            # Azure Blob Storage.
            *("AuthenticationFailed", "AuthorizationFailure", "InvalidAuthenticationInfo"),
            *("AuthorizationPermissionMismatch", "AuthorizationProtocolMismatch"),
            *("AuthorizationResourceTypeMismatch", "AuthorizationServiceMismatch"),
            *("AuthorizationSourceIPMismatch", "InsufficientAccountPermissions"),
            *("AccountIsDisabled", "KeyBasedAuthenticationNotPermitted"),
            *("NoAuthenticationInformation", "PublicAccessNotPermitted"),
            *("AADSTS700016", "AADSTS7000215", "AADSTS90002", "AADSTS70021"),
        }
    ),
)
REGION = Refusal(
    reason=Reason.WRONG_REGION,
    what="the bucket is in another region",
    remedy="set AWS_REGION to the bucket's region",
    codes=frozenset(
        {"PermanentRedirect", "TemporaryRedirect", "Redirect", "IllegalLocationConstraintException"}
    ),
)
NO_BUCKET = Refusal(
    reason=Reason.BUCKET_NOT_FOUND,
    what="there is no such bucket",
    remedy="create it, or name an existing bucket; the trainer does not create buckets",
    codes=frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}),
)
BAD_NAME = Refusal(
    reason=Reason.INVALID_URI,
    what="the store does not accept such a name",
    remedy="use letters, digits, - and / in the URI, and a bucket name of 3 to 63 characters",
    codes=frozenset(
        {"InvalidBucketName", "InvalidResourceName", "KeyTooLongError", "InvalidURI", "InvalidUri"}
    ),
)
FULL = Refusal(
    reason=Reason.STORE_FULL,
    what="the store is full",
    remedy="delete what is not needed there, or raise the quota of bucket or account",
    codes=frozenset(
        {
            *("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "InsufficientCapacity"),
            *("XMinioAdminBucketQuotaExceeded", "AccountLimitExceeded", "NoSpaceLeftOnDevice"),
        }
    ),
)
BUSY = Refusal(
    reason=Reason.STORE_BUSY,
    what="the store is busy or failing",
    remedy="wait, run fewer jobs at the same time, or request a higher rate limit",
    may_pass=True,
    codes=frozenset(
        {
            *("SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException"),
            *("RequestLimitExceeded", "TooManyRequests", "TooManyRequestsException", "Busy"),
            *("ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted"),
            *("ConditionalRequestConflict", "IncompleteBody", "BadDigest", "InternalServerError"),
            *("XAmzContentSHA256Mismatch", "IDPCommunicationError", "XMinioServerNotInitialized"),
            *("rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"),
            *("ServerBusy", "OperationTimedOut", "Md5Mismatch", "temporarily_unavailable"),
            "NoSuchUpload",
        }
    ),
)
OBJECTS_TO = Refusal(
    reason=Reason.STORE_REFUSED,
    category=Category.USER,
    what="the store refuses the request",
    remedy="change what the message names: archived or locked files, the bucket's rules or its key",
    codes=frozenset(
        {
            *("InvalidObjectState", "BlobArchived", "BlobImmutableDueToPolicy", "LeaseIdMissing"),
            *("EntityTooLarge", "RequestBodyTooLarge", "MethodNotAllowed", "NotImplemented"),
            *("retentionPolicyNotMet", "ObjectUnderActiveHold", "InvalidLocationConstraint"),
            *("KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"),
            *("KeyVaultEncryptionKeyNotFound", "InvalidRequest", "FeatureNotSupported"),
        }
    ),
)
UNKNOWN = Refusal(
    reason=Reason.STORE_REFUSED,
    category=Category.INFRASTRUCTURE,
    what="the store refuses the request",
    remedy="look up the error code in the documentation of the store",
)

TABLE = (EXPIRED, CLOCK, REGION, NO_BUCKET, BAD_NAME, FULL, OBJECTS_TO, DENIED, BUSY)
"""In the order in which they are applied."""

_TOO_GENERAL = DENIED.codes | {"InvalidRequest", "InvalidArgument", ""}
"""Codes that stores use for several causes, which only their messages distinguish."""

_PASSING = frozenset({408, 425, 429})


def refusal_of(answer: StoreAnswer) -> Refusal | None:
    """The meaning of the response; None if it is not a store's refusal."""
    if answer.region or REDIRECTED in answer.words:
        return REGION
    for row in TABLE:
        is_named = answer.code in row.codes
        is_told = row.words is not None and answer.code in _TOO_GENERAL
        if is_named or (is_told and row.words and row.words.search(answer.words)):
            return row
    return _by_status(answer.status)


def _by_status(status: int | None) -> Refusal | None:
    if status in (401, 403):
        return DENIED
    if status == 507:
        return FULL
    if status in _PASSING or (status is not None and status >= 500):
        return BUSY
    # 404, 409 and 412 are results: no such file, and a condition that is not met.
    if status is not None and 400 <= status < 500 and status not in (404, 409, 412):
        return UNKNOWN
    return None
