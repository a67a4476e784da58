"""The engine beside llama.cpp's own server: seven scenarios, one table of ratios.

sides         who is compared, behind one method: ask
measure       replies and outcomes, taken in turn; rows of the table
clock         how much time llama.cpp itself takes
texts         what is asked
report        the table, the machine, the JSON

fan_out       1  eight questions to one document at the same moment
tool_calls    2  twenty JSON tool calls of one shape
agent_trace   3  twenty turns of three agents
taking_turns  4  twelve conversations where four have room
restart       5  the first answer after a restart
streams       6  one stream alone, and one in a burst
overhead      7  what our own Python costs for each token
"""
