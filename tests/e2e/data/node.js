// Plain HTTP through the proxy that the environment names, by hand: no release of Node needed that does it itself.
const http = require("http");
const proxy = new URL(process.env.HTTP_PROXY);
const headers = { Host: process.argv[2] };  // Node would name the proxy there
if (proxy.password) {
  headers["Proxy-Authorization"] =
      "Basic " + Buffer.from(proxy.username + ":" + proxy.password).toString("base64");
}
const connect = http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: process.argv[2], headers });
connect.on("connect", (answer) => { console.log("connect", answer.statusCode, answer.statusMessage); process.exit(0); });
connect.on("error", (error) => { console.log("error", error.message); process.exit(1); });
connect.end();
