/** Why sessions end, for the person whose they were. */
const texts: Record<string, string> = {
  user_logout: "you signed out, here or on another device",
  admin: "an administrator ended the session",
  password_changed: "the password was changed",
  credential_changed: "the way to sign in was changed",
  account_disabled: "the account was disabled",
  account_deleted: "the account was deleted",
  compromised: "the session may have been in other hands",
  idle_timeout: "nobody was there for a while",
  max_age: "the session had lasted for as long as any may",
  policy: "a rule asks for a new sign-in",
  idp_logout: "you signed out where you sign in from",
  superseded: "a newer session took its place",
};

/** Returns a reason in words, or undefined for a code that nobody knows: it may come from a link that anybody could have made. */
export function reasonText(code: string): string | undefined {
  return Object.hasOwn(texts, code) ? texts[code] : undefined;
}
