import type { Metadata } from "next";

import { pageCaller } from "../../../server/caller";
import { Chat } from "./chat";

export const metadata: Metadata = { title: "Chat" };

export default async function ChatPage() {
  await pageCaller();
  return (
    <>
      <h1>Chat</h1>
      <p className="lead">A connection that stays open for hours is cut the moment its session ends. Most applications check only when one is opened.</p>
      <Chat url={process.env.CHAT_URL!} />
    </>
  );
}
