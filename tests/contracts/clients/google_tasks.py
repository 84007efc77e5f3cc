"""Drives the stand-in of Cloud Tasks with Google's own client over REST.

Arguments: base of the stand-in, parent of its queues, address of the process route, internal key, job id.
Prints one JSON object with what it saw.
"""

import datetime
import json
import sys

from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksRestTransport
from google.protobuf import duration_pb2, timestamp_pb2

base, parent, target, key, job = sys.argv[1:]
transport = CloudTasksRestTransport(host=base, credentials=AnonymousCredentials())
client = tasks_v2.CloudTasksClient(transport=transport)
seen = {}


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error.code.value if hasattr(error.code, "value") else error.code
    return None


queue = f"{parent}/queues/client-queue"
made = client.create_queue(parent=parent, queue={"name": queue})
seen["queue"] = made.name == queue and made.state == tasks_v2.Queue.State.RUNNING
seen["queue_again"] = raised(Conflict, lambda: client.create_queue(parent=parent, queue={"name": queue}))
seen["queue_found"] = client.get_queue(name=queue).rate_limits.max_concurrent_dispatches
seen["queue_missing"] = raised(NotFound, lambda: client.get_queue(name=f"{parent}/queues/none"))
seen["queues"] = queue in [each.name for each in client.list_queues(parent=parent)]

later = timestamp_pb2.Timestamp()
later.FromDatetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1))
task = {
    "name": f"{queue}/tasks/once-1",
    "schedule_time": later,
    "dispatch_deadline": duration_pb2.Duration(seconds=20),
    "http_request": {
        "url": target,
        "http_method": tasks_v2.HttpMethod.POST,
        "headers": {"Content-Type": "application/json"},
        "body": b'{"jobId":"x"}',
    },
}
created = client.create_task(parent=queue, task=task)
seen["task"] = created.name
seen["task_time"] = created.schedule_time.timestamp_pb().seconds == later.seconds
seen["task_deadline"] = created.dispatch_deadline.seconds
seen["task_body_hidden"] = created.http_request.body == b""
seen["task_again"] = raised(Conflict, lambda: client.create_task(parent=queue, task=task))
full = client.get_task(request={"name": created.name, "response_view": tasks_v2.Task.View.FULL})
seen["task_body"] = full.http_request.body.decode()
seen["task_method"] = full.http_request.http_method.name
seen["tasks"] = [each.name for each in client.list_tasks(parent=queue)] == [created.name]
seen["task_elsewhere"] = raised(NotFound, lambda: client.create_task(parent=f"{parent}/queues/none", task={"http_request": task["http_request"]}))
bad = dict(task, name=f"{queue}/tasks/bad", dispatch_deadline=duration_pb2.Duration(seconds=1))
seen["deadline_too_short"] = raised(BadRequest, lambda: client.create_task(parent=queue, task=bad))
client.delete_task(name=created.name)
seen["task_gone"] = raised(NotFound, lambda: client.get_task(name=created.name))
seen["task_gone_twice"] = raised(NotFound, lambda: client.delete_task(name=created.name))
seen["name_rests"] = raised(Conflict, lambda: client.create_task(parent=queue, task=task))

paused = client.pause_queue(name=queue)
seen["paused"] = paused.state.name
seen["resumed"] = client.resume_queue(name=queue).state.name

work = {
    "http_request": {
        "url": target,
        "http_method": tasks_v2.HttpMethod.POST,
        "headers": {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        "body": json.dumps({"jobId": job}).encode(),
    }
}
named = client.create_task(parent=queue, task=work)
seen["name_made"] = named.name.startswith(f"{queue}/tasks/") and len(named.name) > len(queue) + 8
print(json.dumps(seen))
