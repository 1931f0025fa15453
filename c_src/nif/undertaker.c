#include "nif/undertaker.h"

#include "nif/registry_inner.h"

#define SLICE_NS 1000000u

static struct {
    tsu_env_mutex  mutex;
    tsu_env_cond   work, rest;
    tsu_env_thread thread;
    /* guarded by the mutex */
    tsu_process   *first, *last;
    bool           busy, stop;
} undertaker;

static void run(void *unused)
{
    tsu_process *process;

    (void)unused;
    tsu_env_mutex_lock(&undertaker.mutex);
    for (;;) {
        process = undertaker.first;
        undertaker.busy = process != NULL;
        if (process == NULL) {
            tsu_env_cond_signal(&undertaker.rest);
            if (undertaker.stop) break;
            tsu_env_cond_wait(&undertaker.work, &undertaker.mutex);
            continue;
        }
        undertaker.first = process->dead_next;
        tsu_env_mutex_unlock(&undertaker.mutex);
        while (!tsu_process_settle(NULL, process, SLICE_NS)) tsu_env_yield();
        tsu_process_bury(process);
        tsu_env_mutex_lock(&undertaker.mutex);
    }
    tsu_env_mutex_unlock(&undertaker.mutex);
}

void tsu_undertaker_put(tsu_process *process)
{
    process->dead_next = NULL;
    tsu_env_mutex_lock(&undertaker.mutex);
    if (undertaker.first == NULL) undertaker.first = process;
    else undertaker.last->dead_next = process;
    undertaker.last = process;
    tsu_env_cond_signal(&undertaker.work);
    tsu_env_mutex_unlock(&undertaker.mutex);
}

void tsu_undertaker_sync(void)
{
    tsu_env_mutex_lock(&undertaker.mutex);
    while (undertaker.first != NULL || undertaker.busy) tsu_env_cond_wait_ns(&undertaker.rest, &undertaker.mutex, 1000000);
    tsu_env_mutex_unlock(&undertaker.mutex);
}

tsu_status tsu_undertaker_start(void)
{
    memset(&undertaker, 0, sizeof undertaker);
    tsu_env_mutex_init(&undertaker.mutex);
    tsu_env_cond_init(&undertaker.work);
    tsu_env_cond_init(&undertaker.rest);
    if (tsu_env_thread_start(&undertaker.thread, run, NULL)) return TSU_OK;
    tsu_env_cond_deinit(&undertaker.work);
    tsu_env_cond_deinit(&undertaker.rest);
    tsu_env_mutex_deinit(&undertaker.mutex);
    return TSU_NOMEM;
}

void tsu_undertaker_stop(void)
{
    tsu_env_mutex_lock(&undertaker.mutex);
    undertaker.stop = true;
    tsu_env_cond_signal(&undertaker.work);
    tsu_env_mutex_unlock(&undertaker.mutex);
    tsu_env_thread_join(&undertaker.thread);
    tsu_env_cond_deinit(&undertaker.work);
    tsu_env_cond_deinit(&undertaker.rest);
    tsu_env_mutex_deinit(&undertaker.mutex);
}
