import type { Messages } from "./messages.js";
import type { Logout, SessionExpiring } from "./protocol.generated.js";

/** What an application says about the session of the browser. */
export interface Verdict {
  /** Whether somebody is signed in. */
  signedIn: boolean;
  /** The id of the session, as Curfew knows it, where the application names it. It isn't a secret. */
  session?: string | undefined;
}

/** The end of a session, once the application has confirmed it. */
export interface Ended {
  /** Why, as the notice said; undefined where no notice came, as for a tab that slept through it. */
  reason?: Logout["reason"] | undefined;
  /** What the notice says to the person, as text and never as markup. */
  message?: string | undefined;
  /** The notice itself, if one came. */
  notice?: Logout | undefined;
}

/** How an application answers for a ticket: the ticket, an object or a response with one, or nothing if nobody is signed in. */
export type TicketAnswer = string | { ticket?: string } | Response | null | undefined;

/** What the listener of a tab is doing. */
export type ListenerState =
  /** Nobody is known to be signed in, so there is nothing to listen to. */
  | "idle"
  /** Another tab of the browser holds the conn and passes on what it hears. */
  | "following"
  /** This tab holds the conn, or is about to. */
  | "connecting"
  /** This tab holds the conn, and every end of the session will be told on it. */
  | "ready"
  /** The gateway ended the conn for good, and the application hasn't named another session since. */
  | "over"
  /** The page is frozen, in the back-forward cache, or leaving. */
  | "suspended"
  /** The application confirmed that the session is over. */
  | "signed_out"
  /** close() was called. */
  | "closed";

/** What startLogoutListener takes. Only url and ticket are required. */
export interface LogoutListenerOptions {
  /** The gateway, such as "https://curfew.example.com". */
  url: string;
  /**
   * Where tickets come from: the URL of an endpoint of the application, which is asked with POST and answers `{"ticket": "…"}`, or 401 if nobody is signed in; or a
   * function. It is called for each attempt to connect. A function that throws is tried again later.
   */
  ticket: string | (() => TicketAnswer | Promise<TicketAnswer>);
  /** Where the application says who is signed in: null, {} and 401 are nobody. Default "/api/auth/session", which is Auth.js's. Any other answer decides nothing. */
  sessionUrl?: string | undefined;
  /** Asks the application in another way. One that throws decides nothing, and is called again later. It takes the place of sessionUrl. */
  verify?: (() => Verdict | Promise<Verdict>) | undefined;
  /** The page shows a signed-in person's data, so that the first answer "nobody is signed in" is the end of a session too. Default false. */
  signedIn?: boolean | undefined;
  /** Where a tab goes once its session is over. Default: it loads its page anew. */
  redirectTo?: string | ((ended: Ended) => string) | undefined;
  /** The name of a query parameter that tells the next page the reason's code. Default: none. */
  reasonParam?: string | undefined;
  /** Called in each tab once the application has confirmed the end. If it returns false, the package shows nothing and goes nowhere. */
  onNotice?: ((ended: Ended) => unknown) | undefined;
  /** Called before a tab goes, to save what somebody has typed. It is waited for, up to beforeLogoutMs. */
  beforeLogout?: ((ended: Ended) => unknown) | undefined;
  /** Default 3000. */
  beforeLogoutMs?: number | undefined;
  /** Called when another session of the same user ended or began: refresh lists of devices. */
  onSessionsChanged?: (() => void) | undefined;
  /** Called in each tab when the session is about to end. */
  onExpiring?: ((expiring: SessionExpiring) => void) | undefined;
  /** Called in each tab when what onExpiring told is called off. */
  onRenewed?: (() => void) | undefined;
  /** Whether the package shows its own dialogs. Default true. */
  dialog?: boolean | undefined;
  /** Other words for the dialogs. */
  messages?: Partial<Messages> | undefined;
  /** For how long the dialog that says why somebody is signed out stays before the tab goes by itself. Default 10000. */
  leaveAfterMs?: number | undefined;
  /** Where "Sign in again" leads before the end of a session. Default: redirectTo if it is a string, else "/api/auth/signin", which is Auth.js's. */
  signInUrl?: string | undefined;
  /** Tells the application that somebody is there. With neither touch nor touchUrl no input is listened to. One that throws, or resolves to false, has failed. */
  touch?: (() => unknown) | undefined;
  /** An endpoint of the application that touches the session, asked with POST. */
  touchUrl?: string | undefined;
  /** How often somebody's input is told at most, by one tab for all. Default 15000. */
  touchIntervalMs?: number | undefined;
  /**
   * Told what went wrong, for logs: an Error, or whatever one of the application's own functions has thrown. The listener goes on by itself. None of the package's
   * errors holds a ticket or a session.
   */
  onError?: ((error: unknown) => void) | undefined;
  /** Told what the listener is doing. */
  onState?: ((state: ListenerState) => void) | undefined;
  /** Keeps applications of one origin apart that have sessions of their own. Default: the gateway's URL. */
  name?: string | undefined;
}

/** A listener that was started. */
export interface LogoutListenerHandle {
  /** What the listener is doing. */
  readonly state: ListenerState;
  /** Asks the application again, as after signing in without a new page. */
  check(): void;
  /** Says that this tab is signing out by itself, just before it does: it ignores the notice of that, and other tabs act on it. */
  signingOut(): void;
  /** Says that somebody is there, as "stay signed in" does. It resolves to whether the application took it. */
  touch(): Promise<boolean>;
  /** Ends the listener: no timer, event listener, lock, channel or conn is left. May be called twice. */
  close(): void;
}
