"""Every code of a refusal or of a failed job: what it means and what to do. The page /problems shows this table.

`python -m service.problem_codes` prints it as docs/problems.md.
"""

from __future__ import annotations

from html import escape
from textwrap import fill

# Code -> (meaning, remedy). A code never changes its meaning.
CODES: dict[str, tuple[str, str]] = {
    # Of a request
    "REQUEST_INVALID": ("A parameter or header has a wrong form.", "Correct the fields under `errors`."),
    "REQUEST_MALFORMED": ("The bytes are no HTTP request.", "Check the protocol: the service itself serves no TLS."),
    "BAD_REQUEST": ("The request cannot be read.", "Correct it as `detail` describes."),
    "HOST_UNKNOWN": (
        "The service has no key, and the Host header names another machine.",
        "Address it as 127.0.0.1 or localhost, or set `ROADSCRIBE_API_KEY`.",
    ),
    "UNAUTHENTICATED": ("The API key is missing, wrong, expired or revoked.", "Send `Authorization: Bearer KEY`."),
    "SCOPE_MISSING": ("The API key may not do this.", "Use a key with the scope that `detail` names."),
    "NOT_FOUND": ("There is no such path.", "See the reference at `/docs`."),
    "METHOD_NOT_ALLOWED": ("The path does not have this method.", "Use one of the `Allow` header."),
    "CONTENT_TYPE": ("The body is not JSON.", "Send `Content-Type: application/json`."),
    "BODY_TOO_LARGE": (
        "The body is larger than the service takes.",
        "Shorten it, or raise `ROADSCRIBE_MAX_BODY_BYTES`.",
    ),
    "RANGE_NOT_SATISFIABLE": ("The range starts behind the end of the file.", "`Content-Range` holds its size."),
    "RATE_LIMITED": ("More requests than the key, or wrong keys than an address, may send.", "Wait for `Retry-After`."),
    "QUOTA_EXCEEDED": ("The tenant has as many open jobs as it may have.", "Submit again when some have ended."),
    "STREAMS_EXHAUSTED": ("Too many clients wait or stream at once.", "Try again after `Retry-After`, or poll."),
    "IDEMPOTENCY_KEY_REUSED": ("The key was used with another body.", "Use a new key for a new job."),
    "JOB_INVALID": ("The job has unknown fields or wrong values.", "Correct the fields under `errors`."),
    "JOB_UNKNOWN": ("There is no such job, or it belongs to another tenant.", "Check the id and the key."),
    "JOB_NOT_ENDED": ("Only a job that failed or was cancelled can be retried.", "Wait for its end, or cancel it."),
    "JOB_NOT_WAITING": ("Only a job that no executor has taken gets another priority.", "Let it run, or cancel it."),
    "JOB_OPEN": ("Only a job that has ended can be deleted.", "Cancel it first, or wait for its end."),
    "JOB_IN_USE": (
        "The job is a snapshot of a dataset, which never changes, or a job that has not ended needs it.",
        "Keep it, or delete it when that job has ended.",
    ),
    "ARTIFACT_UNKNOWN": ("No job of this tenant published such a file.", "List the artifacts of the job."),
    "ARTIFACT_GONE": ("The file is no longer in the store.", "Run the job again."),
    "ARTIFACT_DAMAGED": (
        "The stored file is damaged, and was set aside.",
        "A job makes it again. Repeat the request when it has succeeded.",
    ),
    "DATASET_UNKNOWN": ("There is no such dataset.", "List them with `GET /v1/datasets`."),
    "SNAPSHOT_UNKNOWN": ("The dataset has no snapshot of this number.", "List its snapshots."),
    "WEBHOOK_UNKNOWN": ("There is no such webhook, or it belongs to another tenant.", "Check the id and the key."),
    "WEBHOOK_EXISTS": (
        "The tenant has a webhook with this URL.",
        "If its secret is lost, delete it and register anew.",
    ),
    "WEBHOOK_LIMIT": ("The tenant has as many webhooks as it may have.", "Delete one that is no longer used."),
    "WEBHOOK_DISABLED": ("The webhook is disabled after many failures.", "Repair its receiver, then enable it."),
    "DELIVERY_UNKNOWN": ("The webhook has no such message.", "List its deliveries; those of 30 days are kept."),
    "ADDRESS_REFUSED": (
        "The service does not send to this address: it is not public, or not https.",
        "Use https and a public address, or let the operator allow its network in `ROADSCRIBE_WEBHOOK_NETWORKS`.",
    ),
    "PATH_REFUSED": (
        "The path is no existing path below a root, or has a link on the way. The answer does not reveal which.",
        "Use a path below `ROADSCRIBE_ROOTS`, without links.",
    ),
    # Of a request or of a job
    "CONFIG_INVALID": ("A setting is out of its range or unknown.", "Correct the setting that the message names."),
    "INPUT_INVALID": ("The input is invalid.", "Correct it as the message describes."),
    "INPUT_LOST": (
        "A job that this one needs failed, was cancelled or does not exist.",
        "Retry that job, or name another one.",
    ),
    "STORAGE_ERROR": ("Ledger or store could not be read or written.", "Check the disk and the database, and repeat."),
    "BUG": ("An error of Roadscribe.", "The log of the service has the traceback: report it."),
    # Of a job: its input
    "DRIVE_INVALID": ("The drive cannot be read.", "Run `roadscribe validate DRIVE`: it lists every fault."),
    "DRIVE_EMPTY": ("The drive has no frame with an image.", "Check the paths of the images."),
    "CALIBRATION_MISSING": ("An image belongs to a camera without calibration.", "Add the camera that `where` names."),
    "POSE_INVALID": ("A pose is no rigid transform, or times do not increase.", "Correct the frame in `where`."),
    "IMAGES_CORRUPT": ("An image is missing, does not decode or has another size.", "Replace the image in `where`."),
    "MODEL_INVALID": ("A net or its class map cannot be used.", "Check `segment.weights` and `segment.class_map`."),
    "ARTIFACT_INVALID": ("An artifact is damaged or incomplete.", "Submit the job again: damaged stages run again."),
    "ARTIFACT_FOREIGN": ("A folder holds no artifact of the expected kind.", "Name a folder of that kind."),
    "ARTIFACT_TOO_NEW": ("A newer Roadscribe wrote the artifact.", "Upgrade the service."),
    "NO_ROAD_FOUND": ("The drive is valid, but shows no road.", "Check classes and calibration with the pictures."),
    "TRIPS_APART": ("Fewer than two drives show the same place.", "The message has the reason for each drive."),
    "SNAPSHOT_SUPERSEDED": (
        "Another snapshot of the dataset was published after the one that this job extends.",
        "Publish again: the new job then extends the newest snapshot.",
    ),
    "SPLITS_FIXED": (
        "The splits of a dataset are those of its first snapshot.",
        "Publish with these splits, or under another name.",
    ),
    "INPUT_TIMEOUT": ("The jobs that this one waits for did not end in time.", "See what delays them, and retry."),
    "CANCELLED": ("The job was cancelled.", "Retry it: finished stages are kept."),
    # Of a job: the machine
    "INFRASTRUCTURE": ("The machine failed.", "The job is tried again by itself."),
    "DISK_FULL": ("No space is left on the disk. Nothing was published.", "Free some space and retry the job."),
    "OOM_HOST": (
        "The worker ran out of memory.",
        "The job is tried again with the smaller settings in `step_down`. A larger machine keeps yours.",
    ),
    "MEMORY_SHORT": ("The stage needs more memory than the machine has.", "The hint names a setting that fits."),
    "WORKER_LOST": ("The worker process died.", "The job is tried again by itself."),
    "MACHINE_LOST": (
        "What the job ran on died.",
        "The job is tried again by itself, and no attempt is counted.",
    ),
    "CLUSTER_SICK": ("The Ray cluster does not answer.", "The executor restarts, and the job is tried again."),
    "CODE_CHANGED": (
        "A worker has other code than the executor.",
        "The executor restarts, and the job is tried again.",
    ),
    "STAGE_TIMEOUT": ("A stage took longer than its limit.", "Split the drive, or raise `ROADSCRIBE_STAGE_LIMIT_S`."),
    "QUEUE_TIMEOUT": ("No executor took the job in time.", "Start one with `roadscribe serve`, and retry the job."),
    # Of the client
    "SERVICE_UNREACHABLE": ("No service answers.", "Start one, or name another with `--url`."),
    "SIGNATURE_INVALID": (
        "A webhook's message has no valid signature, or is too old.",
        "Check the secret and this machine's clock; ignore the message.",
    ),
    "SERVICE_REFUSED": ("The service refused the request.", "The message has its reason."),
}


def anchor(code: str) -> str:
    """Return the place of a code on the page, as part of a URL."""
    return code.lower().replace("_", "-")


def markdown() -> str:
    """Return the table as a page of the documents."""
    head = "# Problem codes\n\nThe field `type` of a problem links to the same list at `/problems` of the service.\n"
    head += "`make problems` writes this page from `service/problem_codes.py`.\n"
    return head + "".join(
        f"\n## {code}\n\n{fill(f'{meaning} {remedy}', 118)}\n" for code, (meaning, remedy) in CODES.items()
    )


def html() -> str:
    """Return the table as a page that needs nothing else."""
    parts = (
        f'<h2 id="{anchor(code)}">{code}</h2><p>{_text(meaning)}</p><p>What to do: {_text(remedy)}</p>'
        for code, (meaning, remedy) in CODES.items()
    )
    style = "body{font:16px/1.5 sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem}h2{font-size:1.1rem}"
    head = f'<meta charset="utf-8"><title>Roadscribe: problem codes</title><style>{style}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body><h1>Problem codes</h1>{"".join(parts)}</body></html>'
    )


def _text(words: str) -> str:
    pieces = escape(words).split("`")
    return "".join(piece if index % 2 == 0 else f"<code>{piece}</code>" for index, piece in enumerate(pieces))


if __name__ == "__main__":
    print(markdown(), end="")
