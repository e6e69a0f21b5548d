import { Api } from "./api.js";
import { Checker, type Verdict } from "./checker.js";
import { isFinal } from "./delivery.js";
import { ApiError, CurfewError, SessionRequiredError } from "./errors.js";
import { Follower } from "./follower.js";
import { isId, type SessionIdentity } from "./identity.js";
import { isUnavailable } from "./marks.js";
import { type CurfewOptions, type RequestInfo, type RevocationFailedEvent, type Settings, settle, type UnavailableEvent } from "./options.js";
import { type Publication, Publisher, type Receipt } from "./publisher.js";
import type { Revocation } from "./revocationset.js";
import { definedOf, logout, type RevokeOptions, segment, told } from "./revoke.js";
import type { SessionList } from "./sessionlist.js";
import { type Counters, forgetShared, type Shared, sharedBy } from "./shared.js";

/** A session as `auth()` returns it: with the `sid` that withRevocation puts there. */
export interface SignedIn {
  sid?: unknown;
  /** What Auth.js's own type has, so that it is taken without a cast. */
  expires?: unknown;
}

/** A ticket with which a tab opens its conn. */
export interface Ticket {
  ticket: string;
  expires_at: string;
}

const readMs = 5000;
/** How long this process remembers what it revoked itself. By then the gate knows, or the session is past max age. */
const ownMs = 31 * 24 * 3600 * 1000;

/** A Curfew server as an application sees it: it checks sessions and ends them. Make one with `curfew`. */
export class Curfew {
  /** The options with their defaults. */
  readonly settings: Settings;
  readonly #api: Api;
  readonly #shared: Shared;
  readonly #checker: Checker;
  readonly #publisher: Publisher;

  constructor(options: CurfewOptions) {
    const settings = (this.settings = settle(options));
    this.#api = new Api(settings);
    this.#shared = sharedBy(settings.url, settings.apiKey);
    this.#checker = new Checker(this.#api, settings, this.#shared, (unavailable, error) => this.episode({ what: "check", unavailable, error }));
    this.#publisher = new Publisher(this.#api, settings, this.#shared, (event) => this.#failed(event));
    if (settings.sync === "stream") {
      this.#shared.follower ??= new Follower({
        api: this.#api, stalenessBudgetMs: settings.stalenessBudgetMs, onState: (following, error) => this.episode({ what: "stream", unavailable: !following, error }),
      });
    }
  }

  /** Says whether a session is over. It never throws, and takes no longer than `timeoutMs`. */
  check(session: SessionIdentity, options?: { anew?: boolean }): Promise<Verdict> {
    // Not before it is needed: a build loads this module too, and would wait for the stream to end.
    this.#shared.follower?.start();
    return this.#checker.check(session, options);
  }

  /** With sync "stream": resolves once sessions are checked in memory. */
  async ready(signal?: AbortSignal): Promise<void> {
    this.#shared.follower?.start();
    await this.#shared.follower?.ready(signal);
  }

  /** What has happened in this process since it began. */
  stats(): Readonly<Counters> {
    return { ...this.#shared.counters };
  }

  /**
   * Lists a new session and returns when it began: by the registry's clock, which lies after every logout that it knows of, and after those of this process, whose clock may
   * be ahead. While the registry is away the session begins by this clock, isn't listed, and that is told.
   */
  async register(session: SessionIdentity, request: RequestInfo = {}): Promise<{ session: string; authTimeMs: number }> {
    const user = session.user ?? "";
    const begun = (atMs: number) => session.authTimeMs ?? Math.max(atMs, this.#shared.own.latestCutoffMs(user) + 1, (this.#shared.follower?.latestCutoffMs(user) ?? 0) + 1);
    if (this.settings.register && session.user !== undefined) {
      try {
        const listed = await this.#list(session, request);
        this.episode({ what: "register", unavailable: false });
        return { session: listed.session, authTimeMs: begun(listed.authTimeMs) };
      } catch (cause) {
        this.#shared.counters.unregistered++;
        this.episode({ what: "register", unavailable: true, error: cause instanceof CurfewError ? cause : undefined });
      }
    }
    return { session: session.session, authTimeMs: begun(Date.now()) };
  }

  async #list(session: SessionIdentity, request: RequestInfo, retry = true): Promise<{ session: string; authTimeMs: number }> {
    const { device, client, user, authTimeMs: auth_time_ms } = session;
    const age = this.settings.absoluteMaxAgeMs;
    const expires_at = age === Infinity ? undefined : new Date((auth_time_ms ?? Date.now()) + age).toISOString();
    const body = definedOf({ session: session.session, user, device, client, auth_time_ms, expires_at, user_agent: request.userAgent?.slice(0, 1024), ip: request.ip });
    try {
      const answer = await this.#api.call<{ session: string; auth_time_ms: number }>({
        method: "POST", path: "/v1/sessions", body, timeoutMs: this.settings.registerTimeoutMs,
        // A logout of this process, which the new session must lie behind.
        position: this.#shared.position,
      });
      if (!isId(answer.session) || !Number.isSafeInteger(answer.auth_time_ms)) throw new CurfewError("unreadable_answer", "the registry's answer has no session", true);
      return { session: answer.session, authTimeMs: answer.auth_time_ms };
    } catch (error) {
      const taken = error instanceof ApiError && (error.code === "session_ended" || error.code === "session_of_another_user");
      if (!taken || !retry) throw error;
      return this.#list({ ...session, session: crypto.randomUUID() }, request, false);
    }
  }

  /** Notes a session that was just read, so that `identity` finds it. */
  remember(session: SessionIdentity): void {
    this.#shared.identities.set(session.session, session);
  }

  /** Returns a session that was read in this process lately. */
  known(sid: string): SessionIdentity | undefined {
    return this.#shared.identities.get(sid);
  }

  /** Returns who a session that `auth()` has returned belongs to; throws SessionRequiredError if it is none of withRevocation's. */
  identity(session: SignedIn | null | undefined): SessionIdentity & { user: string; authTimeMs: number } {
    const sid = session?.sid;
    if (isUnavailable(session)) throw new SessionRequiredError("the session couldn't be checked");
    if (!isId(sid)) throw new SessionRequiredError("the session has no sid: is the caller signed in, and is the config wrapped by withRevocation?");
    const found = this.#shared.identities.get(sid);
    if (found?.user === undefined || found.authTimeMs === undefined) {
      throw new SessionRequiredError("who the session belongs to isn't known here: read it with auth() in the same process first");
    }
    return { ...found, user: found.user, authTimeMs: found.authTimeMs };
  }

  /** Ends one session, whoever's it is: for sign-outs. This process knows at once; it throws RevocationPendingError if nobody else can know yet. */
  async revokeSession(session: SessionIdentity, options: RevokeOptions = {}): Promise<Receipt> {
    const reason = options.reason ?? "user_logout";
    this.#shared.own.apply({ scope: "session", session: session.session, reason, expiresAtMs: Date.now() + ownMs });
    const { user, device, client, authTimeMs } = session;
    const auth_time = authTimeMs === undefined ? undefined : new Date(authTimeMs).toISOString();
    const body = definedOf({ scope: "session", session: session.session, user, device, client, auth_time, ...told(options, reason) });
    return this.#publisher.publish({ path: "/v1/revocations", body });
  }

  /** Ends all sessions that a user has begun by now, but for those in `except`: after a change of the password, or the deletion of the account. */
  async revokeUser(user: string, options: RevokeOptions & { except?: readonly string[] } = {}): Promise<Receipt> {
    if (!isId(user)) throw new SessionRequiredError("the user must be an id of 1 to 256 bytes without control characters");
    const body = definedOf({ scope: "user", user, except: options.except?.length ? options.except : undefined, ...told(options, options.reason ?? "admin") });
    return this.#wide(user, options.except ?? [], { path: "/v1/revocations", body });
  }

  /** Signs a user out everywhere but in the session that asks. Without that session's own sid it throws and ends nothing. */
  async signOutOthers(session: SignedIn | null | undefined, options: RevokeOptions = {}): Promise<Receipt> {
    const { user, session: current } = this.identity(session);
    return this.#wide(user, [current], logout(user, { scope: "others", current_session: current, ...told(options, options.reason ?? "user_logout") }));
  }

  /** Signs a user out everywhere, the session that asks included. */
  async signOutEverywhere(session: SignedIn | null | undefined, options: RevokeOptions = {}): Promise<Receipt> {
    const { user } = this.identity(session);
    return this.#wide(user, [], logout(user, { scope: "everywhere", ...told(options, options.reason ?? "user_logout") }));
  }

  async #wide(user: string, except: readonly string[], publication: Publication): Promise<Receipt> {
    const cutoffMs = Date.now();
    const reason = String(publication.body["reason"]);
    const own: Revocation = { scope: "user", user, except, cutoffMs, reason, expiresAtMs: cutoffMs + ownMs };
    const { reason_user, reason_admin, initiator } = publication.body;
    const later = definedOf({
      scope: "user", user, except: except.length ? except : undefined, cutoff: new Date(cutoffMs).toISOString(), reason, reason_user, reason_admin, initiator,
    });
    try {
      const receipt = await this.#publisher.publish({ ...publication, later: { path: "/v1/revocations", body: later } });
      this.#shared.own.apply(own);
      if (receipt.cutoff) this.#shared.own.apply({ ...own, cutoffMs: Date.parse(receipt.cutoff) });
      return receipt;
    } catch (error) {
      // Of what isn't stored this process knows all the same; but not of what the API refuses as wrong, for nothing could take it back here.
      if (!isFinal(error)) this.#shared.own.apply(own);
      throw error;
    }
  }

  /** Lists the sessions of the user who asks. */
  async listSessions(session: SignedIn | null | undefined, options: { ended?: boolean; limit?: number } = {}): Promise<SessionList> {
    const { user, session: current } = this.identity(session);
    const query = new URLSearchParams({ current });
    if (options.ended !== undefined) query.set("ended", String(options.ended));
    if (options.limit !== undefined) query.set("limit", String(options.limit));
    return this.#api.call<SessionList>({ method: "GET", path: `/v1/users/${segment(user)}/sessions?${query}`, timeoutMs: readMs });
  }

  /** Ends one of the sessions of the user who asks. Another user's isn't found, like one that doesn't exist: a page may pass on what a browser sends. */
  async endSession(session: SignedIn | null | undefined, sid: string, options: RevokeOptions = {}): Promise<Receipt> {
    const { user, session: current } = this.identity(session);
    const unknown = new ApiError(404, "session_unknown", "there is no such session of this user", false);
    if (!isId(sid)) throw unknown;
    if (sid !== current) {
      const listed = await this.#api.call<{ user?: unknown }>({ method: "GET", path: `/v1/sessions/${segment(sid)}`, timeoutMs: readMs });
      if (listed.user !== user) throw unknown;
    }
    return this.revokeSession({ session: sid, user }, { reason: "user_logout", ...options });
  }

  /**
   * Notes that the person at a session has done something; false if the session has ended meanwhile. A session that began while the registry was away is
   * listed now.
   */
  async touch(session: SignedIn | null | undefined): Promise<boolean> {
    const identity = this.identity(session);
    try {
      await this.#api.call({ method: "POST", path: `/v1/sessions/${segment(identity.session)}/touch`, timeoutMs: readMs });
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.code === "session_ended") return false;
      if (error.code !== "session_unknown" || !this.settings.register) throw error;
    }
    return this.#list(identity, {}, false).then(() => true, (error: unknown) => {
      if (error instanceof ApiError && error.code === "session_ended") return false;
      throw error;
    });
  }

  /** Makes a ticket with which a tab of this session opens its conn, from that origin only. */
  async ticket(session: SignedIn | null | undefined, origin?: string): Promise<Ticket> {
    const { session: sid, user, authTimeMs, device, client } = this.identity(session);
    const age = this.settings.absoluteMaxAgeMs;
    const session_expires_at = age === Infinity ? undefined : new Date(authTimeMs + age).toISOString();
    const body = definedOf({ user, session: sid, device, client, auth_time: new Date(authTimeMs).toISOString(), session_expires_at, origin });
    return this.#api.call<Ticket>({ method: "POST", path: "/v1/tickets", body, timeoutMs: readMs });
  }

  /** Tries to publish what lies in the outbox, now. */
  async drainOutbox(): Promise<void> {
    await this.#publisher.drain();
  }

  /** Ends the stream and the timers of all instances with this server and key. What is in the outbox stays there. */
  async close(): Promise<void> {
    forgetShared(this.settings.url, this.settings.apiKey);
    await Promise.all([this.#shared.follower?.close(), ...[...this.#shared.deliveries.values()].map((delivery) => delivery.close())]);
  }

  /** Counts a session that wasn't checked, and says whether it passes. */
  passes(): boolean {
    const open = this.settings.onError === "open";
    this.#shared.counters[open ? "passedOpen" : "refusedClosed"]++;
    return open;
  }

  /** Tells the begin and the end of an episode, once each. */
  episode(event: UnavailableEvent): void {
    const episodes = this.#shared.episodes;
    if (episodes.has(event.what) === event.unavailable) return;
    if (event.unavailable) episodes.add(event.what);
    else episodes.delete(event.what);
    if (this.settings.onUnavailable) return guarded(() => this.settings.onUnavailable?.(event));
    const what = { check: "sessions can't be checked", register: "new sessions aren't listed", stream: "the stream of revocations isn't followed", claims: "a token lacks what a check needs" }[event.what];
    if (event.unavailable) console.error(`[curfew] ${what}: ${event.error?.message ?? "no answer"} (onError: "${this.settings.onError}")`);
    else console.error(`[curfew] over: ${what}`);
  }

  #failed(event: RevocationFailedEvent): void {
    if (this.settings.onRevocationFailed) return guarded(() => this.settings.onRevocationFailed?.(event));
    if (this.#shared.toldLost) return;
    this.#shared.toldLost = true;
    const reason = event.error instanceof CurfewError ? event.error.message : "the outbox doesn't take it";
    const kept = event.keptIn === "outbox" ? "The outbox tries again" : "It is LOST";
    console.error(`[curfew] a revocation wasn't stored: ${reason}. ${kept}. This is told once; set onRevocationFailed to hear of each.`);
  }
}

/** An application's hook mustn't break a sign-out. */
function guarded(hook: () => void): void {
  try {
    hook();
  } catch (error) {
    console.error("[curfew] a hook threw:", error);
  }
}

/** Returns a Curfew server as an application sees it. All with the same url and apiKey share their memory, within a process. */
export function curfew(options: CurfewOptions | Curfew): Curfew {
  return options instanceof Curfew ? options : new Curfew(options);
}
