export default function NotFound() {
  return (
    <main className="lone">
      <h1>There is no such page</h1>
      <p>
        <a href="/sessions">To your devices</a>
      </p>
    </main>
  );
}
