//! Names of events and fields in the logs. The analyzer reads these, not prose; operators grep for some of them.

/// A stage starts its dump: the line that the replaced system wrote.
pub const START_CREATE_BACKUP: &str = "Start create Backup";
/// The copy into the warehouse starts.
pub const START_RESTORE: &str = "Start restore";
/// The copy into the warehouse has ended.
pub const RESTORE_DONE: &str = "Restore done";
/// The enrichment starts; field `files`.
pub const ENRICHMENT_STARTED: &str = "enrichment.add - Started";
/// The enrichment has ended.
pub const ENRICHMENT_ENDED: &str = "enrichment.add - Ended";
/// The full stage has ended, enrichment included.
pub const IMPORT_AND_ENRICHMENT_DONE: &str = "Import and enrichment done";

/// A step of a stage starts; field `step`.
pub const STEP_STARTED: &str = "step.started";
/// A step of a stage has ended; fields `step`, `duration_ms`.
pub const STEP_ENDED: &str = "step.ended";
/// A step failed: the stage says why; fields `step`, `duration_ms`, `error.kind`.
pub const STEP_FAILED: &str = "step.failed";
/// A table was copied; fields `table`, `treatment`, `rows`, `bytes`, `duration_ms`, `connection`.
pub const TABLE_COPIED: &str = "table.copied";
/// An index or constraint was built, or a foreign key was checked; fields `kind`, `object`, `table`, `duration_ms`, `connection`.
pub const OBJECT_BUILT: &str = "object.built";
/// Something was left out, with the reason; fields `object`, `reason`.
pub const OBJECT_SKIPPED: &str = "object.skipped";
/// A stage starts; field `attempt`.
pub const STAGE_STARTED: &str = "stage.started";
/// A stage ended well; field `duration_ms`.
pub const STAGE_ENDED: &str = "stage.ended";
/// A stage failed; fields `duration_ms`, `error.kind`, `error.message`, `hint`.
pub const STAGE_FAILED: &str = "stage.failed";
/// A webhook or a mail was delivered; fields `event`, `host`, `status`.
pub const NOTIFICATION_SENT: &str = "notification.sent";
/// A webhook or a mail could not be delivered; fields `event`, `host`, `attempt`, `error.kind`, `error.message`.
pub const NOTIFICATION_FAILED: &str = "notification.failed";

/// Which backup a night reads; fields `backup`, `taken_at`, `bytes`.
pub const BACKUP_CHOSEN: &str = "backup.chosen";
/// The newest backup is still being made at its provider; fields `backup`, `pause_ms`.
pub const BACKUP_WAITS: &str = "backup.waits";
/// How far a push is; field `bytes`.
pub const PUSH_PROGRESS: &str = "push.progress";
/// A dump was pushed and read back; fields `bucket`, `backup`, `bytes`, `sha256`, `is_encrypted`, `duration_ms`.
pub const BACKUP_PUSHED: &str = "backup.pushed";
/// A pushed dump was removed since there are newer ones; fields `bucket`, `backup`.
pub const BACKUP_REMOVED: &str = "backup.removed";
/// What earlier pushes left half done was removed; fields `bucket`, `objects`.
pub const LEFTOVERS_REMOVED: &str = "backup.leftovers-removed";
/// How far a download is; fields `bytes`, `total_bytes`.
pub const DOWNLOAD_PROGRESS: &str = "download.progress";
/// A backup was downloaded whole; fields `backup`, `bytes`, `archive_bytes`, `duration_ms`.
pub const DOWNLOAD_DONE: &str = "download.done";
/// An earlier try had downloaded the backup; fields `backup`, `bytes`.
pub const DOWNLOAD_KEPT: &str = "download.kept";

/// A job was taken from its queue: the line that the replaced system wrote, followed by the queue and the job.
pub const JOB_STARTING: &str = "Starting job in";
/// A stage will be tried again; fields `run`, `stage`, `attempt`, `delay_ms`.
pub const JOB_RETRY: &str = "job.retry";
/// A job has to wait since another night is open; fields `run`, `open` (the other night), `delay_ms`.
pub const JOB_DEFERRED: &str = "job.deferred";
/// A run ended; fields `run`, `status`.
pub const RUN_ENDED: &str = "run.ended";
/// The warehouse is held by another one and waited for; followed by who has it.
pub const LOCK_WAITING: &str = "lock.waiting";
/// Redis has not answered for some seconds: commands wait; fields `error.message`, `hint`.
pub const QUEUE_AWAY: &str = "queue.away";
/// Redis answers again.
pub const QUEUE_BACK: &str = "queue.back";
/// A run that was open and had no job left goes on, or is closed; fields `run`, `stage`, `found`.
pub const RUN_RECOVERED: &str = "run.recovered";
/// When a scheduled stage starts next; fields `stage`, `at`.
pub const SCHEDULE_NEXT: &str = "schedule.next";
/// A night, or a job beside it, was put on its queue; fields `run`, `new` (false: another worker was first), `late_ms`.
pub const SCHEDULE_TICK: &str = "schedule.tick";
/// A night, or a job beside it, was left out since its time had long passed; field `run`.
pub const SCHEDULE_MISSED: &str = "schedule.missed";
/// A schedule took the place of another one; fields `stage`, `before`, `pattern`.
pub const SCHEDULE_REPLACED: &str = "schedule.replaced";
/// A time was left out since another worker keeps another schedule by now; fields `run`, `pattern`.
pub const SCHEDULE_SUPERSEDED: &str = "schedule.superseded";
/// The web process listens; field `port`.
pub const WEB_STARTED: &str = "web.started";
/// The web process was asked to stop; field `signal`.
pub const WEB_STOPPING: &str = "web.stopping";
/// Somebody signed in to the dashboard; field `role`.
pub const WEB_SIGNED_IN: &str = "web.signed-in";
/// Ten wrong tokens came from one address within a minute: for the rest of it none from there is looked at.
pub const WEB_TOO_MANY_WRONG_TOKENS: &str = "web.too-many-wrong-tokens";
/// An operator had something done from the dashboard; fields `action`, `subject`.
pub const WEB_ACTION: &str = "web.action";
/// The worker was asked to stop; field `signal`.
pub const WORKER_STOPPING: &str = "worker.stopping";
/// The worker did not let go of its work in time, and ended without; field `why`.
pub const WORKER_STOPPED_HARD: &str = "worker.stopped-hard";
/// A worker or web process ended with an error; fields `error.kind`, `error.message`, `hint`.
pub const PROCESS_FAILED: &str = "process.failed";
/// The publish waits for readers of tables that it must lock; fields `held_by`, `pause_ms`.
pub const PUBLISH_WAITS: &str = "publish.waits";
/// A generation became live; fields `generation`, `previous` (the one that was), `locked_ms`.
pub const PUBLISH_DONE: &str = "publish.done";
/// A generation that nobody reads was dropped; fields `generation`, `state`, `schemas`.
pub const GENERATION_DROPPED: &str = "generation.dropped";
/// The warehouse's schema was exported; fields `tables`, `views`, `other_objects`, `replaced_objects`, `duration_ms`.
pub const SCHEMA_EXPORTED: &str = "schema.exported";
