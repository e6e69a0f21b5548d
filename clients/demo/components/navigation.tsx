"use client";

import Link from "next/link";
import { usePathname } from "next/navigation";

const pages = [
  ["/sessions", "Devices"],
  ["/notes", "Notes"],
  ["/chat", "Chat"],
] as const;

export function Navigation() {
  const here = usePathname();
  return (
    <nav aria-label="Pages">
      <ul>
        {pages.map(([path, name]) => (
          <li key={path}>
            <Link href={path} prefetch={false} aria-current={here === path ? "page" : undefined}>
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}
