//! A conversation that lives in Redis, shared with Flowise.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::redis::Redis;
use crate::support::scripted::words;
use crate::support::{Answer, Flow, Parlor, Reply, Scripted};

struct Stage {
    server: Parlor,
    model: Scripted,
    flow: String,
}

impl Stage {
    /// The recorded conversation with a Redis memory and these inputs.
    async fn of(kind: &str, secrets: Value, inputs: Value) -> Self {
        let model = Scripted::saying("I see.").await;
        let server = Parlor::start();
        let openai = server.openai_credential().await;
        let redis = server.credential(kind, secrets).await;
        let mut flow = Flow::golden("b-conversation").with_openai(&openai, &model.basepath());
        let data = flow.data("bufferMemory_0");
        data["name"] = json!("RedisBackedChatMemory");
        data["credential"] = json!(redis);
        data["inputs"] = inputs;
        let flow = server.install("redis", &flow).await;
        Self { server, model, flow }
    }

    async fn at(redis: &Redis, inputs: Value) -> Self {
        Self::of("redisCacheUrlApi", json!({"redisUrl": redis.url()}), inputs).await
    }

    async fn ask(&self, session: &str, question: &str) -> Reply {
        let body = json!({"question": question, "overrideConfig": {"sessionId": session}});
        self.server.ask(&self.flow, &body).await
    }

    /// What the model saw after the system's text, in its only call.
    fn seen(&self) -> Vec<String> {
        let received = self.model.take_received();
        assert_eq!(received.len(), 1, "{received:#?}");
        received[0].messages().into_iter().skip(1).map(|(_, content)| content).collect()
    }
}

#[tokio::test]
async fn a_conversation_is_kept_in_redis_as_flowise_keeps_it() {
    let mut redis = Redis::start();
    let mut stage = Stage::at(&redis, json!({})).await;

    stage.ask("ann", "My name is Ann").await.expect(200);
    assert_eq!(stage.seen(), ["My name is Ann"]);
    let stored = redis.command(&["LRANGE", "ann", "0", "-1"]);
    let stored: Vec<Value> =
        stored.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let parts: Vec<_> =
        stored.iter().map(|item| (&item["type"], &item["data"]["content"])).collect();
    let (ai, human) = (json!("ai"), json!("human"));
    assert_eq!(parts, [(&ai, &json!("I see.")), (&human, &json!("My name is Ann"))]);
    assert_eq!(redis.command(&["TTL", "ann"]), ["-1"], "without sessionTTL nothing expires");

    // The open connection breaks; the next turn finds the server again.
    redis.restart();
    stage.ask("ann", "Who am I?").await.expect(200);
    assert_eq!(stage.seen(), ["My name is Ann", "I see.", "Who am I?"]);
    stage.ask("bob", "And I?").await.expect(200);
    assert_eq!(stage.seen(), ["And I?"]);

    stage.server.kill9();
    stage.server = stage.server.restart();
    stage.ask("ann", "Still?").await.expect(200);
    assert_eq!(stage.seen().len(), 5);
}

#[tokio::test]
async fn a_conversation_that_flowise_began_goes_on() {
    let redis = Redis::start();
    let stage = Stage::at(&redis, json!({})).await;
    for item in [
        r#"{"type":"human","data":{"content":"Hi","additional_kwargs":{}}}"#,
        r#"{"type":"ai","data":{"content":[{"type":"text","text":"Hello!"}]}}"#,
    ] {
        redis.command(&["LPUSH", "ann", item]);
    }
    let body = json!({
        "question": "Who are you?", "overrideConfig": {"sessionId": "ann"},
        "history": [{"role": "userMessage", "content": "Before"}],
    });
    stage.server.ask(&stage.flow, &body).await.expect(200);
    assert_eq!(stage.seen(), ["Before", "Hi", "Hello!", "Who are you?"]);
}

#[tokio::test]
async fn a_window_holds_the_newest_turns_and_a_session_can_expire() {
    let redis = Redis::start();
    let stage = Stage::at(&redis, json!({"windowSize": "1", "sessionTTL": "1000"})).await;
    for question in ["one", "two"] {
        stage.ask("ann", question).await.expect(200);
    }
    stage.model.take_received();

    stage.ask("ann", "three").await.expect(200);

    assert_eq!(stage.seen(), ["two", "I see.", "three"]);
    let ttl: i64 = redis.command(&["TTL", "ann"])[0].parse().unwrap();
    assert!((1..=1000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_password_opens_the_server_and_is_never_told() {
    let redis = Redis::start_with(Some("open sesame"));
    let secrets = |port: Value, password: &str| {
        json!({
            "redisCacheHost": "127.0.0.1", "redisCachePort": port, "redisCacheUser": "",
            "redisCachePwd": password, "redisCacheSslEnabled": false,
        })
    };
    for port in [json!(redis.port()), json!(redis.port().to_string())] {
        let stage = Stage::of("redisCacheApi", secrets(port, "open sesame"), json!({})).await;
        stage.ask("ann", "Hi").await.expect(200);
    }
    for password in ["a wrong secret", ""] {
        let secrets = secrets(json!(redis.port()), password);
        let stage = Stage::of("redisCacheApi", secrets, json!({})).await;
        let message = stage.ask("ann", "Hi").await.expect_error(502);
        assert_eq!(message, "Redis refused the user or password of its credential");
        assert!(!stage.server.log().contains("a wrong secret"));
    }
}

#[tokio::test]
async fn without_a_named_credential_the_only_one_is_taken_whichever_kind_it_is() {
    let redis = Redis::start();
    let stage = Stage::of("redisCacheUrlApi", json!({"redisUrl": redis.url()}), json!({})).await;
    let path = format!("/api/v1/chatflows/{}", stage.flow);
    let row = stage.server.operator().get(&path).await.expect(200).json();
    let mut flow = Flow(serde_json::from_str(row["flowData"].as_str().unwrap()).unwrap());
    flow.data("bufferMemory_0").as_object_mut().unwrap().remove("credential");
    let flow = stage.server.install("unnamed", &flow).await;
    stage.server.ask(&flow, &json!({"question": "Hi"})).await.expect(200);

    let secrets = json!({"redisCacheHost": "127.0.0.1"});
    stage.server.credential("redisCacheApi", secrets).await;
    let message = stage.server.ask(&flow, &json!({"question": "Hi"})).await.expect_error(422);
    assert!(
        message.contains("no usable redisCacheUrlApi or redisCacheApi credential"),
        "{message}"
    );
    assert!(message.contains("or set REDIS_URL"), "{message}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_before_the_model_is_asked() {
    let (mut gone, plain) = (Redis::start(), Redis::start());
    gone.stop();
    // The last one speaks no TLS.
    let secure = plain.url().replace("redis://", "rediss://");
    for url in [gone.url(), "http://127.0.0.1:1".to_owned(), secure] {
        let secrets = json!({"redisUrl": url});
        let stage = Stage::of("redisCacheUrlApi", secrets, json!({})).await;
        let message = stage.ask("ann", "Hi").await.expect_error(502);
        assert!(message.starts_with("Redis ") && message.contains("address"), "{message}");
        assert!(!message.contains("127.0.0.1"), "{message}");
        assert_eq!(stage.model.received().len(), 0);
        assert_eq!(stage.server.messages(&stage.flow, "").await, []);
    }
}

#[tokio::test]
async fn a_turn_that_redis_cannot_keep_is_not_answered() {
    let redis = Redis::start();
    let stage = Stage::at(&redis, json!({})).await;
    let redis = Arc::new(Mutex::new(redis));
    let own = Arc::clone(&redis);
    stage.model.answer(move |_| {
        own.lock().unwrap().stop();
        Answer::Say(words("I see."))
    });

    stage.ask("ann", "Hi").await.expect_error(502);

    assert_eq!(stage.server.messages(&stage.flow, "").await, []);
    redis.lock().unwrap().restart();
    stage.ask("ann", "Hi again").await.expect_error(502);
    redis.lock().unwrap().restart();
    stage.model.answer(|_| Answer::Say(words("I see.")));
    stage.model.take_received();
    stage.ask("ann", "Hi").await.expect(200);
    assert_eq!(stage.seen(), ["Hi"]);
}

#[tokio::test]
async fn keys_of_other_programs_are_neither_read_to_the_model_nor_changed() {
    let redis = Redis::start();
    let stage = Stage::at(&redis, json!({})).await;
    redis.command(&["LPUSH", "jobs", "{\"secret\": 1}"]);
    redis.command(&["SET", "token", "secret"]);
    for session in ["jobs", "token"] {
        let message = stage.ask(session, "Hi").await.expect_error(502);
        assert!(message.starts_with("Redis holds something else"), "{message}");
    }
    assert_eq!(stage.model.received().len(), 0);
    assert_eq!(redis.command(&["LLEN", "jobs"]), ["1"]);
    assert_eq!(redis.command(&["GET", "token"]), ["secret"]);
}

#[tokio::test]
async fn deleting_a_session_at_parlor_leaves_redis_to_its_owner() {
    let redis = Redis::start();
    let stage = Stage::at(&redis, json!({})).await;
    stage.ask("ann", "Hi").await.expect(200);
    let path = format!("/api/v1/chatmessage/{}?sessionId=ann", stage.flow);
    stage.server.operator().delete(&path).await.expect(200);
    assert_eq!(stage.server.messages(&stage.flow, "").await, []);
    assert_eq!(redis.command(&["LLEN", "ann"]), ["2"]);
}
