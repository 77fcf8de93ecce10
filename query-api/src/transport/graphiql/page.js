// Starts GraphiQL on our endpoint: queries over HTTP, subscriptions over WebSocket.
// What is typed under "Headers" is sent with both; a WebSocket carries it in connection_init.
const root = document.getElementById("graphiql");
const url = new URL(root.dataset.endpoint, location.href);
const subscriptionUrl = new URL(url);
subscriptionUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const fetcher = GraphiQL.createFetcher({
  url: url.href,
  subscriptionUrl: subscriptionUrl.href,
});
ReactDOM.createRoot(root).render(
  React.createElement(GraphiQL, { fetcher, defaultEditorToolsVisibility: "headers" }),
);
