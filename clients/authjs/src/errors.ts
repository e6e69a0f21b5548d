/** The base of all errors that this package throws. None of them holds a key, a cookie or an id. */
export class CurfewError extends Error {
  /** A stable word that programs branch on. */
  readonly code: string;
  /** Whether the same call may succeed later. */
  readonly retry: boolean;

  constructor(code: string, message: string, retry: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.retry = retry;
  }
}

/** Is thrown when options are missing or wrong. It names all faults at once. */
export class ConfigError extends CurfewError {
  constructor(faults: string[]) {
    super("invalid_config", `@curfew/authjs: ${faults.join("; ")}`, false);
  }
}

/** Is thrown when the API has answered with a problem (RFC 9457). `code` is the problem's. */
export class ApiError extends CurfewError {
  /** The status of the answer. */
  readonly status: number;
  /** The members that were invalid, for a 422. */
  readonly faults: readonly { field: string; detail: string }[];

  constructor(status: number, code: string, detail: string, retry: boolean, faults: readonly { field: string; detail: string }[] = []) {
    super(code, `the Curfew API answered ${status} ${code}: ${detail}`, retry);
    this.status = status;
    this.faults = faults;
  }
}

/** Is thrown when the API gave no answer that can be read in the time that there was. Whether it has acted isn't known. */
export class UnavailableError extends CurfewError {
  constructor(code: "timeout" | "network" | "unreadable_answer", message: string, options?: ErrorOptions) {
    super(code, message, true, options);
  }
}

/**
 * Is thrown when a revocation isn't stored by the time that the caller can wait. It isn't lost: the outbox holds it and tries again. Tell
 * the person that it may take a while, not that it is done.
 */
export class RevocationPendingError extends CurfewError {
  constructor(cause: unknown) {
    super("revocation_pending", "the revocation isn't stored yet: the outbox holds it and tries again", true, { cause });
  }
}

/** Is thrown when a revocation wasn't stored and won't be tried again: refused by the API, or the outbox was full or failed. */
export class RevocationLostError extends CurfewError {
  constructor(cause: unknown) {
    super("revocation_lost", "the revocation wasn't stored and isn't tried again: call again", true, { cause });
  }
}

/** Is thrown when a call needs a signed-in session and got none, or one without the claims that Curfew mints. Nothing was done. */
export class SessionRequiredError extends CurfewError {
  constructor(missing: string) {
    super("session_required", `${missing}: nothing was done, and a call for one session is never widened to all`, false);
  }
}

/** Is thrown into Auth.js's adapter when a database session couldn't be checked and `onError` is "closed". The cookie stays. */
export class RevocationUnavailableError extends CurfewError {
  constructor() {
    super("RevocationUnavailable", "whether the session was revoked can't be told at the moment, and onError is \"closed\"", true);
  }
}
