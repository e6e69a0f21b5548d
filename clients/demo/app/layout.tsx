import "./globals.css";

import type { Metadata, Viewport } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";

export const metadata: Metadata = { title: { default: "Northlight", template: "%s – Northlight" }, description: "An example application whose sessions end everywhere at once." };
export const viewport: Viewport = { colorScheme: "light dark" };

export default async function RootLayout({ children }: { children: ReactNode }) {
  // Each page has a nonce of its own, so none is made before it is asked for.
  await connection();
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
