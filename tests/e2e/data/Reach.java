// Does what each argument says and prints how it ended: get:URL (HttpClient, as it is without any setting but the
// authority of ca.pem), socket:HOST:PORT (which reads a greeting and answers it with its own name).
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ConnectException;
import java.net.Socket;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.channels.UnresolvedAddressException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Reach {
  static SSLContext trustingTheTest() throws Exception {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (var in = Files.newInputStream(Path.of("ca.pem"))) {
      store.setCertificateEntry("test", CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    var managers = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    managers.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, managers.getTrustManagers(), null);
    return context;
  }

  static String get(HttpClient client, String url) throws Exception {
    var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
    var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
    return answer.statusCode() + " " + answer.body().strip();
  }

  static String talk(String place) throws IOException {
    int colon = place.lastIndexOf(':');
    try (var socket = new Socket(place.substring(0, colon), Integer.parseInt(place.substring(colon + 1)))) {
      socket.setSoTimeout(20_000);
      var in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
      String greeting = in.readLine();
      socket.getOutputStream().write("java socket\n".getBytes());
      return greeting + "; " + in.readLine();
    }
  }

  static String wordFor(Exception error) {
    for (Throwable one = error; one != null; one = one.getCause()) {
      String text = String.valueOf(one.getMessage());
      if (one instanceof UnknownHostException || one instanceof UnresolvedAddressException) return "no such name";
      if (one instanceof IOException && text.contains("reset")) return "reset";
    }
    // HttpClient's has no text.
    return error instanceof ConnectException ? "refused" : error.toString();
  }

  public static void main(String[] arguments) throws Exception {
    HttpClient client = HttpClient.newBuilder().sslContext(trustingTheTest()).build();
    for (String argument : arguments) {
      int colon = argument.indexOf(':');
      String rest = argument.substring(colon + 1);
      long start = System.nanoTime();
      String ended;
      try {
        ended = argument.startsWith("get:") ? get(client, rest) : talk(rest);
      } catch (Exception error) {
        ended = wordFor(error);
      }
      boolean slow = System.nanoTime() - start > 5_000_000_000L;
      System.out.println(argument + " -> " + ended + (slow ? " SLOW" : " "));
    }
  }
}
