import "next-auth";

declare module "next-auth" {
  interface Session {
    /** The session's id, which withRevocation puts there. */
    sid?: string;
  }
}
