// Does what each argument says and prints how it ended: fetch:URL, http:URL (node:http and node:https), net:HOST:PORT
// (which reads a greeting and answers it with its own name).
const http = require("node:http");
const https = require("node:https");
const net = require("node:net");

const by_fetch = async (url) => {
  const answer = await fetch(url);
  return `${answer.status} ${(await answer.text()).trim()}`;
};

const by_http = (url) => new Promise((resolve, reject) => {
  const client = url.startsWith("https:") ? https : http;
  client.get(url, (answer) => {
    let text = "";
    answer.on("data", (part) => { text += part; });
    answer.on("end", () => resolve(`${answer.statusCode} ${text.trim()}`));
  }).on("error", reject);
});

const by_net = (place) => new Promise((resolve, reject) => {
  const colon = place.lastIndexOf(":");
  const socket = net.connect(Number(place.slice(colon + 1)), place.slice(0, colon));
  let greeting = "";
  socket.on("error", reject);
  socket.on("end", () => reject(new Error("closed")));
  socket.on("data", (part) => {
    const text = part.toString().trim();
    if (greeting) return socket.destroy(), resolve(`${greeting}; ${text}`);
    greeting = text;
    socket.write("node net\n");
  });
});

const words = { ENOTFOUND: "no such name", ECONNREFUSED: "refused", ECONNRESET: "reset" };
const word_for = (error) => {
  for (let one = error; one; one = one.cause) {
    if (words[one.code]) return words[one.code];
  }
  return String(error);
};

const main = async () => {
  for (const argument of process.argv.slice(2)) {
    const colon = argument.indexOf(":");
    const act = { fetch: by_fetch, http: by_http, net: by_net }[argument.slice(0, colon)];
    const start = Date.now();
    const ended = await act(argument.slice(colon + 1)).catch(word_for);
    console.log(argument, "->", ended, Date.now() - start < 5000 ? "" : "SLOW");
  }
};
main();
