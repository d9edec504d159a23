import time, faulthandler, sys, threading
from helpers import open_transaction
from dbopt.optimize.apply import ApplyOptions
from tests.optimize.test_waits import posts, WRITE, BY_AUTHOR, unforeseen, soon
def test_x(project, posts, unforeseen, soon):
    project.wants(BY_AUTHOR)
    def dump():
        for i in range(3):
            time.sleep(7 if i==0 else 1)
            for r in posts.sql("select pid, application_name, state, wait_event_type, wait_event, left(query,150), pg_blocking_pids(pid) from pg_stat_activity where datname=current_database()"): print(r)
            for t in sys._current_frames().values():
                import traceback; print([f"{x.filename.split('/')[-1]}:{x.lineno}" for x in traceback.extract_stack(t)][-8:])
    th=threading.Thread(target=dump); th.start()
    with open_transaction(posts, WRITE) as pid:
        t=time.monotonic()
        for e in project.events(project.plan(), ApplyOptions(wait_seconds=1.0)):
            if time.monotonic()-t>11: break
