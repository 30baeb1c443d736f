// Contiguity's JavaScript client knows one origin alone: what it fetches there is asked of ours, path and query kept.
const fetchThere = globalThis.fetch;

globalThis.fetch = (address, options) => {
  const { pathname, search } = new URL(address);
  return fetchThere(process.env.ORIGIN + pathname + search, options);
};
