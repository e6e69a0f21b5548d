import type { NextConfig } from "next";

export default {
  poweredByHeader: false,
  // Elsewhere Next would take the folder of whichever lock file it finds above for the application's.
  turbopack: { root: import.meta.dirname },
} satisfies NextConfig;
