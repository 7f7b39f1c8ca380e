package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPEvent;
import com.amazonaws.services.lambda.runtime.events.APIGatewayV2HTTPResponse;
import java.util.Map;

/** Greets whoever is named in the path. */
public class Hello implements RequestHandler<APIGatewayV2HTTPEvent, APIGatewayV2HTTPResponse> {
    private final String greeting = System.getenv().getOrDefault("GREETING", "Hello");

    @Override
    public APIGatewayV2HTTPResponse handleRequest(APIGatewayV2HTTPEvent event, Context context) {
        String name = event.getPathParameters() == null ? null : event.getPathParameters().get("name");
        if (name == null) {
            throw new IllegalArgumentException("nobody to greet");
        }
        context.getLogger().log("greeting " + name + "\n");
        return APIGatewayV2HTTPResponse.builder()
                .withStatusCode(200)
                .withHeaders(Map.of("Content-Type", "text/plain; charset=utf-8"))
                .withBody(greeting + ", " + name + "!\n")
                .build();
    }
}
