/* weft.h - all of weft but its optional parts, in reading order. */
#ifndef WEFT_H
#define WEFT_H

#include "weft/api.h"
#include "weft/options.h"
#include "weft/error.h"
#include "weft/term.h"
#include "weft/process.h"
#include "weft/runtime.h"
#include "weft/timer.h"
#include "weft/mutex.h"
#include "weft/io.h"
#include "weft/os_signal.h"
#include "weft/log.h"
#include "weft/info.h"
#include "weft/child.h"
#include "weft/task.h"
#include "weft/gen_server.h"
#include "weft/supervisor.h"
#include "weft/dynamic_supervisor.h"
#include "weft/partition_supervisor.h"
#include "weft/task_supervisor.h"
#include "weft/registry.h"
#include "weft/pubsub.h"
#include "weft/pool.h"
#include "weft/sys.h"
#include "weft/agent.h"

#endif
