package probe;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.nio.charset.Charset;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;

/** A function of Java, run by AWS's runtime client. Its event says what it does. */
public class Probe implements RequestHandler<Object, Object> {
    /** Refusal is an error of the function's own. */
    public static class Refusal extends RuntimeException {
        Refusal(String text, Throwable cause) {
            super(text, cause);
        }
    }

    @Override
    public Object handleRequest(Object event, Context context) {
        Map<?, ?> say = event instanceof Map<?, ?> m ? m : Map.of();
        switch (String.valueOf(say.get("do"))) {
            case "error":
                throw new Refusal((String) say.get("text"), new NoSuchAlgorithmException("beneath"));
            case "exit":
                System.exit((int) say.get("n"));
                return null;
            case "sleep":
                try {
                    Thread.sleep((int) say.get("n"));
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                return null;
            case "fill":
                return new byte[1 << 30][];
            case "print":
                System.out.println("a line of java");
                System.err.println("to standard error");
                context.getLogger().log("by the logger\n");
                return null;
            case "context":
                Map<String, Object> is = new HashMap<>();
                is.put("request_id", context.getAwsRequestId());
                is.put("arn", context.getInvokedFunctionArn());
                is.put("left_ms", context.getRemainingTimeInMillis());
                is.put("function", context.getFunctionName());
                is.put("memory", context.getMemoryLimitInMB());
                is.put("client", context.getClientContext().getClient().getAppTitle());
                is.put("trace", System.getProperty("com.amazonaws.xray.traceHeader"));
                is.put("charset", Charset.defaultCharset().name());
                is.put("heap", Runtime.getRuntime().maxMemory());
                return is;
            default:
                return Map.of("event", event);
        }
    }
}
