// An adapter in memory. deleteSession returns nothing, as those of Drizzle, pg, Supabase and most others do.
export class Adapter {
  users = new Map();
  accounts = new Map();
  sessions = new Map();
  linked = [];

  methods() {
    const { users, accounts, sessions, linked } = this;
    return {
      async createUser(user) {
        const made = { ...user, id: user.id ?? crypto.randomUUID() };
        users.set(made.id, made);
        return made;
      },
      async getUser(id) {
        return users.get(id) ?? null;
      },
      async getUserByEmail(email) {
        return [...users.values()].find((user) => user.email === email) ?? null;
      },
      async getUserByAccount({ provider, providerAccountId }) {
        return users.get(accounts.get(`${provider}/${providerAccountId}`)) ?? null;
      },
      async updateUser(user) {
        users.set(user.id, { ...users.get(user.id), ...user });
        return users.get(user.id);
      },
      async linkAccount({ provider, providerAccountId, userId }) {
        accounts.set(`${provider}/${providerAccountId}`, userId);
        linked.push({ account: providerAccountId, user: userId });
      },
      async createSession(session) {
        sessions.set(session.sessionToken, session);
        return session;
      },
      async getSessionAndUser(sessionToken) {
        const session = sessions.get(sessionToken);
        return session ? { session: { ...session }, user: { ...users.get(session.userId) } } : null;
      },
      async updateSession({ sessionToken, ...changes }) {
        sessions.set(sessionToken, { ...sessions.get(sessionToken), ...changes });
        return sessions.get(sessionToken);
      },
      async deleteSession(sessionToken) {
        sessions.delete(sessionToken);
      },
    };
  }
}
