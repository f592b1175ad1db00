"""`ocrq bench`: measures ocrq on the user's own server, and says how many workers that makes necessary. Floor 7.

sizing        from seconds per page to a number of processes; pure arithmetic
ground        a namespace and a folder of the run's own, removed afterwards
surroundings  what else goes on on the server, and whether there is room
worker        a real `ocrq worker`, in a process that cannot outlive the run for long
handlers      what that worker runs
workloads     what is measured, one function each
pages         the same with a processor and documents of the user's
run           all of it, in order and within the time
"""
