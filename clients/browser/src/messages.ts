/** The words of the dialogs. {time} stands for the time that is left. */
export interface Messages {
  /** The title of the dialog before the end of an idle session. */
  idleTitle: string;
  /** What it says. */
  idleText: string;
  /** The button that keeps the session. */
  stay: string;
  /** What the dialog says when the session couldn't be kept. */
  stayFailed: string;
  /** The title of the dialog before the end of a session that nothing keeps. */
  maxAgeTitle: string;
  /** What it says. */
  maxAgeText: string;
  /** The button that puts that dialog away. */
  later: string;
  /** The button that leads to signing in. */
  signIn: string;
  /** The title of the dialog after the end. */
  endedTitle: string;
  /** What it says for each reason; other is for one that it doesn't know. */
  reasons: Readonly<Record<string, string>>;
  /** Time that is left, in seconds. */
  seconds: (n: number) => string;
}

/** The words in English. */
export const ENGLISH: Messages = {
  idleTitle: "Are you still there?",
  idleText: "You will be signed out in {time}, because nothing was done for a while.",
  stay: "Stay signed in",
  stayFailed: "That didn’t work. Please try again.",
  maxAgeTitle: "Your session is about to end",
  maxAgeText: "It ends in {time} and can’t be extended. Save your work, then sign in again.",
  later: "Not now",
  signIn: "Sign in again",
  endedTitle: "You are signed out",
  reasons: {
    other: "Your session is over.",
    user_logout: "Because you signed out, here or on another device.",
    admin: "Because an administrator ended your session.",
    password_changed: "Because your password was changed.",
    credential_changed: "Because the way you sign in was changed.",
    account_disabled: "Because your account was disabled.",
    account_deleted: "Because your account was deleted.",
    compromised: "Because your session may have been used by somebody else.",
    idle_timeout: "Because nothing was done for a while.",
    max_age: "Because you signed in too long ago.",
    policy: "Because your organisation’s rules require it.",
    idp_logout: "Because you signed out at your identity provider.",
    superseded: "Because you signed in somewhere else.",
  },
  seconds: (n) => (n < 60 ? `${n} second${n === 1 ? "" : "s"}` : `${Math.round(n / 60)} minute${n < 90 ? "" : "s"}`),
};
